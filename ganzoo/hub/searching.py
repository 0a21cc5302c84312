"""What the community has published for ganzoo. Nobody has reviewed it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ganzoo.errors import HubError, InputError, nearest
from ganzoo.hub.address import HubRef
from ganzoo.hub.client import one_line, retrying


@dataclass(frozen=True)
class Found:
    """A model that somebody published on the Hub. Nobody has reviewed it."""

    repo: str
    arch: str
    dataset: str
    license: str
    downloads: int
    likes: int
    updated: str
    revision: str


SORTS = ("downloads", "likes", "last_modified", "created_at", "trending_score")


def search(
    text: str = "",
    *,
    arch: str | None = None,
    dataset: str | None = None,
    license: str | None = None,
    sort: str = "downloads",
    limit: int = 50,
) -> list[Found]:
    """The models on the Hub that say they are for ganzoo, those asked for first.

    Args:
        text: what their names contain.
        arch, dataset, license: as their cards state it.
        sort: one of `SORTS`; the most or newest first.
        limit: how many at most.
    """
    from huggingface_hub import HfApi, constants

    if sort not in SORTS:
        raise InputError(f"search has no order {sort!r}", nearest(sort, SORTS))
    if constants.HF_HUB_OFFLINE:
        raise HubError("the Hub may not be asked", "unset HF_HUB_OFFLINE to search it")
    wanted = ["ganzoo", arch, dataset and f"dataset:{dataset}", license and f"license:{license}"]
    order: Any = sort
    with one_line(HubRef("")):
        models = retrying(
            lambda: list(
                HfApi(library_name="ganzoo").list_models(
                    filter=[tag for tag in wanted if tag],
                    search=text or None,
                    sort=order,
                    limit=limit,
                    full=True,
                )
            )
        )
    return [_found(model) for model in models]


_NO_ARCH = {
    "ganzoo",
    "gan",
    "image-generation",
    "unconditional-image-generation",
    "safetensors",
    "model-index",
    "not-for-all-audiences",
    "gates-overridden",
}
"""Tags that cards have, or the Hub adds, beside the name of the architecture."""


def _found(model: Any) -> Found:
    tags = [tag for tag in model.tags or [] if isinstance(tag, str)]

    def tagged(kind: str) -> str:
        return next((tag.partition(":")[2] for tag in tags if tag.startswith(f"{kind}:")), "")

    return Found(
        repo=model.id,
        arch=next((tag for tag in tags if ":" not in tag and tag not in _NO_ARCH), "gan"),
        dataset=tagged("dataset"),
        license=tagged("license"),
        downloads=model.downloads or 0,
        likes=model.likes or 0,
        updated=f"{model.last_modified:%Y-%m-%d}" if model.last_modified else "",
        revision=model.sha or "",
    )
