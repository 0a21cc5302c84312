"""`python -m ganzoo`, which is also what `accelerate launch -m ganzoo train …` runs."""

from __future__ import annotations

from ganzoo.cli import main

if __name__ == "__main__":
    main(prog_name="ganzoo")
