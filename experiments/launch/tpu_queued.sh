#!/bin/bash
# A TPU pod by a queued resource: NAME=... ZONE=... PRESET=... DATA=... OUTPUT=... ./tpu_queued.sh
# PACKAGE is a wheel or an address that pip installs this package from. OUTPUT and DATA lie where all hosts see them (Filestore, or a bucket that is mounted).
set -euo pipefail
: "${NAME:?}" "${ZONE:?}" "${PRESET:?}" "${DATA:?}" "${OUTPUT:?}" "${PACKAGE:?}"
gcloud compute tpus queued-resources create "$NAME" --node-id "$NAME" --zone "$ZONE" \
    --accelerator-type "${TYPE:-v5litepod-256}" --runtime-version "${RUNTIME:-v2-alpha-tpuv5-lite}"
until gcloud compute tpus queued-resources describe "$NAME" --zone "$ZONE" \
    --format 'value(state.state)' | grep -q ACTIVE; do sleep 60; done
gcloud compute tpus tpu-vm ssh "$NAME" --zone "$ZONE" --worker all --command \
    "pip install 'jax[tpu]' '$PACKAGE' && repose train $PRESET --data.path $DATA --output $OUTPUT"
