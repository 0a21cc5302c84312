"""Write the cards of the bundled models anew: `python scripts/cards.py`, then `make registry`.

For when what a card says has changed, and the weights have not.
"""

from __future__ import annotations

from ganzoo import card, registry


def main() -> None:
    for entry in registry.list_models():
        if entry.bundled and entry.path is not None:
            card.write_card(entry.path, load=entry.name)


if __name__ == "__main__":
    main()
