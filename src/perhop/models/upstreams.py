"""The models of the settings: as kinds of model legs, as controllers of live calls, and their REST side."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from perhop.call.kinds import ModelKind
from perhop.config import UpstreamSettings
from perhop.models.azure import AzureModel
from perhop.models.openai import OpenAIModel
from perhop.models.remote import RemoteModel
from perhop.models.remote_endpoint import trust
from perhop.models.rest import ModelRest

__all__ = ["Upstream", "upstream_kind"]


@dataclass(frozen=True, slots=True)
class Upstream:
    """What ``[models.<name>]`` describes. Made once a model by :meth:`load`."""

    name: str
    settings: UpstreamSettings
    tls: ssl.SSLContext = field(repr=False)

    @classmethod
    def load(cls, name: str, settings: UpstreamSettings, *, base_dir: Path) -> Upstream:
        """Reads its ``ca_file`` now, so that a wrong one is an error at start and not in a call.

        Args:
            base_dir: what a relative ``ca_file`` is relative to.

        Raises:
            ConfigError: ``ca_file`` is not one.
        """
        return cls(name, settings, trust(base_dir / settings.ca_file if settings.ca_file is not None else None))

    @property
    def kind(self) -> ModelKind:
        """The kind of model legs that calls through this process use."""
        return ModelKind(
            self._leg,
            name=self.name,
            session_cap_s=self.settings.session_cap_s,
            remote=True,
            hold_phrase=self.settings.hold_phrase,
        )

    def control(self, call_id: str) -> RemoteModel:
        """A leg that controls a call whose media flows between its caller and the model.

        Its ``start`` changes nothing of the call's session; ``session.created`` tells what that is.

        Args:
            call_id: the model's, as :meth:`~perhop.models.rest.ModelRest.answer` gave it.
        """
        return self._leg(call_id)

    def rest(self) -> ModelRest:
        """Its REST side; close it with ``aclose``."""
        return ModelRest.of(self.settings, tls=self.tls)

    def _leg(self, call_id: str | None = None) -> RemoteModel:
        make = AzureModel if self.settings.kind == "azure" else OpenAIModel
        return make(self.settings, tls=self.tls, call_id=call_id)


def upstream_kind(name: str, settings: UpstreamSettings, *, base_dir: Path) -> ModelKind:
    """The kind of model legs of ``[models.<name>]``; see :meth:`Upstream.load`."""
    return Upstream.load(name, settings, base_dir=base_dir).kind
