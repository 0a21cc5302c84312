"""What the card of an imported model says about the file that it was made of."""

from __future__ import annotations

from collections import Counter

from ganzoo.markdown import Facts, code, prose

_MOST_REASONS = 12


def imported(record: Facts) -> str:
    """The section of a record of `ganzoo.importing.converting`: the program, the file, what was
    converted and what was dropped, and what people should know of it."""
    program, importer = record.text("program"), record.text("importer")
    file, digest = record.text("file"), record.text("sha256")
    lines = [
        f"It was not trained by `ganzoo`: it was converted from {code(file)} (SHA-256"
        f" {code(digest)}), a file of {prose(program) or 'another program'}, by the importer"
        f" {code(importer)}. The file was read without running anything in it.",
        _tensors(record),
        f"The licence is stated by {prose(record.text('license_from')) or 'nobody'}.",
    ]
    if settings := record.get("settings", default={}):
        said = ", ".join(f"{code(name)} {code(value)}" for name, value in settings.items())
        lines.append(f"Settings of the conversion: {said}.")
    notes = [prose(note) for note in record.get("notes", default=[]) if isinstance(note, str)]
    listed = "\n".join(f"- {note}" for note in notes)
    return f"{' '.join(filter(None, lines))}\n\n{listed}".strip()


def _tensors(record: Facts) -> str:
    fates = [
        fate
        for fate in record.get("tensors", default=[])
        if isinstance(fate, list) and len(fate) == 3
    ]
    if not fates:
        return ""
    dropped = Counter(str(note) for _, target, note in fates if not target)
    kept = len(fates) - dropped.total()
    text = f"{kept:,} of its {len(fates):,} tensors were converted"
    if not dropped:
        return f"{text}."
    reasons = [
        f"{number:,} ({prose(note)})" if note else f"{number:,}"
        for note, number in dropped.most_common(_MOST_REASONS)
    ]
    return f"{text}, the others dropped: {', '.join(reasons)}."
