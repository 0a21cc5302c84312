"""The one room that talks to the Hub: addresses, verified folders, and what the community offers.

The client of huggingface_hub downloads, caches and authenticates; it is imported when it is needed.
"""

from ganzoo.hub.address import HubRef, parse_uri
from ganzoo.hub.client import WAITS, is_transient, one_line, retrying
from ganzoo.hub.fetching import Fetched, fetch, fetch_file
from ganzoo.hub.searching import SORTS, Found, search

__all__ = [
    "SORTS",
    "WAITS",
    "Fetched",
    "Found",
    "HubRef",
    "fetch",
    "fetch_file",
    "is_transient",
    "one_line",
    "parse_uri",
    "retrying",
    "search",
]
