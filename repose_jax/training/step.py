"""One update of the parameters: a pure function `(state, batch, key) -> (state, metrics)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from repose_jax.training.state import Params, TrainState, as_float32

Batch = Mapping[str, Array]
"""Arrays that all have the batch as their first axis."""

Metrics = dict[str, Float[Array, ""]]

LossFn = Callable[..., tuple[Float[Array, ""], Metrics]]
"""(params, batch, keys [batch]) -> the mean loss over a batch and scalars to log. Sample i draws
only from key i. With frozen parameters it is also given `frozen=`, the tree of them."""

TrainStep = Callable[..., tuple[TrainState, Metrics]]
"""(state, batch, key of the run) -> (state, metrics); frozen parameters are a fourth argument."""


class Batches(Iterator[Mapping[str, np.ndarray]], Protocol):
    """An endless iterator of batches that can be put back to where it was, as grain's can."""

    def get_state(self) -> Any: ...

    def set_state(self, state: Any) -> None: ...


class _OwnRows:
    """The rows of one process, of batches that each process makes whole."""

    def __init__(self, batches: Batches, rows: slice):
        self._batches, self._rows = batches, rows
        self.get_state, self.set_state = batches.get_state, batches.set_state
        self.names = getattr(batches, "names", None)

    def __iter__(self) -> _OwnRows:
        return self

    def __next__(self) -> Mapping[str, np.ndarray]:
        return {name: leaf[self._rows] for name, leaf in next(self._batches).items()}


def own_rows(batches: Batches, batch_size: int, rows: slice) -> Batches:
    """The same batches, of which only some rows come.

    Where they have a method `rows(slice)`, as the streams of `repose_jax.data` do, the other rows
    are not even read.
    """
    if rows == slice(0, batch_size):
        return batches
    limited = getattr(batches, "rows", None)
    return _OwnRows(batches, rows) if limited is None else limited(rows)


def make_train_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    *,
    ema_decay: float,
    ema_warmup: bool = True,
    axis_name: str | None = None,
    accumulate: int = 1,
) -> TrainStep:
    """Builds the step.

    Args:
      loss_fn: the loss, a mean over the batch.
      optimizer: see `make_optimizer`.
      ema_decay: the decay of the moving average per step, in [0, 1).
      ema_warmup: start with a short average, see `ema_decay_at`.
      axis_name: the mapped axis the batch is split over (`jax.pmap`), None where one call sees
        the whole batch (`jax.jit`, also with shardings).
      accumulate: the gradient is the mean over so many parts of the batch, one after the other, which
        needs less memory and is the gradient of the whole batch up to rounding, as the loss is a
        mean over samples. The rows of a device must be a multiple of it.

    Returns:
      `step(state, batch, key, frozen=None, limit=None)`; `key` is the key of the *run*: the step
      folds in its own number. `frozen` is what the loss uses and nothing moves, a guide or a first
      stage: an argument, as constants would be compiled into the program.
      Metrics are "loss", "grad_norm" (before clipping), "finite" (1 or 0) and those of the loss.
      Where the loss, a gradient or a parameter that came of it is not finite (or so large that its
      square is not), the state comes back as it was; so it does, and "finite" is 0, where the loss
      is above `limit`.
    """

    def step(
        state: TrainState, batch: Batch, key: Key[Array, ""], frozen: Params | None = None,
        limit: Float[Array, ""] | None = None,
    ) -> tuple[TrainState, Metrics]:
        keys = sample_keys(jax.random.fold_in(key, state.step), batch, axis_name)
        given = {} if frozen is None else {"frozen": frozen}
        gradient = jax.value_and_grad(loss_fn, has_aux=True)
        if accumulate == 1:
            (loss, extra), grads = gradient(state.params, batch, keys, **given)
        else:
            (loss, extra), grads = _mean_over_parts(
                lambda batch, keys: gradient(state.params, batch, keys, **given),
                batch, keys, accumulate)
        if axis_name is not None:
            # pmap does not sum the gradients of replicated parameters, so the mean is ours to take
            # (inside a shard_map that checks replication it would be wrong).
            loss, extra, grads = jax.lax.pmean((loss, extra, grads), axis_name)
        grad_norm = global_norm(grads)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm) & jnp.isfinite(global_norm(params))
        if limit is not None:
            finite &= loss <= limit
        decay = ema_decay_at(state.step, ema_decay) if ema_warmup else ema_decay
        ema = optax.incremental_update(as_float32(params), state.ema, 1.0 - decay)
        moved = TrainState(step=state.step + 1, params=params, ema=ema, opt_state=opt_state)
        kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), moved, state)
        metrics = {**extra, "loss": loss, "grad_norm": grad_norm,
                   "finite": finite.astype(jnp.float32)}
        return kept, metrics

    return step


def make_evaluation(loss_fn: LossFn, *, axis_name: str | None = None) -> Callable[..., Metrics]:
    """`evaluate(params, batch, key, frozen=None)`: the loss of a batch, and the scalars beside it."""

    def evaluate(
        params: Params, batch: Batch, key: Key[Array, ""], frozen: Params | None = None
    ) -> Metrics:
        given = {} if frozen is None else {"frozen": frozen}
        loss, extra = loss_fn(params, batch, sample_keys(key, batch, axis_name), **given)
        metrics = {**extra, "loss": loss}
        return metrics if axis_name is None else jax.lax.pmean(metrics, axis_name)

    return evaluate


def _mean_over_parts(gradient: Callable[..., Any], batch: Batch, keys: Key[Array, "batch"],
                     parts: int) -> Any:
    """The mean of `gradient(batch, keys)` over parts of a batch, each of every so manieth row.

    Neighbouring rows lie on one device where a batch is split by sharding, and parts of neighbours
    would move the pictures about.
    """
    split = jax.tree.map(
        lambda leaf: jnp.moveaxis(leaf.reshape(-1, parts, *leaf.shape[1:]), 1, 0), (batch, keys))
    first, rest = (jax.tree.map(lambda leaf, take=take: leaf[take], split)
                   for take in (0, slice(1, None)))
    total, _ = jax.lax.scan(
        lambda total, part: (jax.tree.map(jnp.add, total, gradient(*part)), None),
        gradient(*first), rest)
    return jax.tree.map(lambda leaf: leaf / parts, total)


def global_norm(tree: Params) -> Float[Array, ""]:
    """The Euclidean norm of all numbers of a tree, summed in float32."""
    return jnp.sqrt(sum(
        jnp.sum(jnp.square(leaf.astype(jnp.float32))) for leaf in jax.tree.leaves(tree)))


def ema_decay_at(step: Int[Array, ""], decay: float) -> Float[Array, ""]:
    """min(decay, (1 + n) / (10 + n)): a young average must forget the initial parameters."""
    count = jnp.asarray(step, jnp.float32)
    return jnp.minimum(decay, (1.0 + count) / (10.0 + count))


def sample_keys(
    step_key: Key[Array, ""], batch: Batch, axis_name: str | None = None
) -> Key[Array, "batch"]:
    """One key a sample, from its index in the *global* batch.

    So a sample draws the same noise whatever number of devices shares the batch.
    """
    count = jax.tree.leaves(batch)[0].shape[0]
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * count
    return jax.vmap(lambda index: jax.random.fold_in(step_key, index))(
        first + jnp.arange(count))
