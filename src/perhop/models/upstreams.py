"""The models of the settings as kinds of model legs."""

from __future__ import annotations

from pathlib import Path

from perhop.call.kinds import ModelKind
from perhop.config import UpstreamSettings
from perhop.models.azure import AzureModel
from perhop.models.openai import OpenAIModel
from perhop.models.remote_endpoint import trust

__all__ = ["upstream_kind"]


def upstream_kind(name: str, settings: UpstreamSettings, *, base_dir: Path) -> ModelKind:
    """The kind of model that ``[models.<name>]`` describes. Reads its ``ca_file`` now, so that a wrong one is an error
    at start and not in a call.

    Args:
        base_dir: what a relative ``ca_file`` is relative to.

    Raises:
        ConfigError: ``ca_file`` is not one.
    """
    tls = trust(base_dir / settings.ca_file if settings.ca_file is not None else None)
    leg = AzureModel if settings.kind == "azure" else OpenAIModel
    return ModelKind(
        lambda: leg(settings, tls=tls),
        name=name,
        session_cap_s=settings.session_cap_s,
        remote=True,
        transcribe_with=settings.transcription_model,
    )
