"""`repose app`."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Annotated

from repose_jax.cli.provenance_options import ProvenanceOptions, seal_of
from repose_jax.cli.terminal import parse, say, use_compilation_cache
from repose_jax.common.errors import UserError
from repose_jax.common.ranges import Range


@dataclasses.dataclass(frozen=True)
class AppOptions:
    """Show a page on which a photo is re-posed by hand; it needs a browser and no network.

    Attributes:
      model: bundled models, model files or folders of training runs to choose from; all bundled ones
        by default.
      host: address to listen at; 0.0.0.0 lets other machines in, without any password.
      port: to listen at; 0 takes a free one.
      token: what every request must carry; by default that of $REPOSE_APP_TOKEN, or none. The page's
        address then holds it.
      jobs: folder that keeps pictures to be painted, with their photos, over a restart; by default they
        are in memory alone.
      open: whether to open the page in this machine's browser.
      provenance: content credentials of what is painted; its consent is for each picture on the page.
    """

    model: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: Annotated[int, Range(0, 65535)] = 8008
    token: str = ""
    jobs: pathlib.Path | None = None
    open: bool = True
    provenance: ProvenanceOptions = ProvenanceOptions()


def app(argv: Sequence[str]) -> int:
    """Re-pose a photo on a page, by hand: upload, drag the skeleton, paint, compare, download."""
    options = parse(AppOptions, "app", argv)
    use_compilation_cache()
    import webbrowser

    from repose_jax.inference.app.serve import make_server
    from repose_jax.inference.app.service import AppService
    from repose_jax.studies.acceptance_service import AcceptanceService

    service = AppService(options.model, seal_of(options.provenance, say))
    token = options.token or os.environ.get("REPOSE_APP_TOKEN", "")
    if not all("!" <= c <= "~" for c in token):
        raise UserError("--token", "has letters that no header can carry", "give ASCII without spaces")
    with make_server(service, options.host, options.port, say, token=token,
                     folder=options.jobs, more=AcceptanceService(service).extension()) as server:
        address = f"http://{options.host}:{server.server_port}/{f'#token={token}' * bool(token)}"
        say(f"{address} (Ctrl-C stops)")
        if options.open:
            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("stopped")
    return 0
