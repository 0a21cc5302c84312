"""The explorer, `ganzoo app`: models looked at in a browser.

shelf.py      the models that are offered, and the few that are in memory
pictures.py   what a picture of the app is: made, written with its mark, and in lines to copy
facts.py      what the page says of a model
visit.py      what the page's controls do, without a page
page.py       the page, in Gradio: which control asks for what; controls.py how they look
first.py      the first look at it, in plain HTML
telling.py    errors, in a line
watching.py   a run's log and grids, read while it goes on; training.py is their page
doors.py      which requests reach Gradio; assets.py answers those for its scripts
serving.py    the server: one folder, one address, nothing from elsewhere
running.py    all of it, from the command line's words on
beside.py     the same beside a run of `ganzoo train --watch`
space.py      the same for a Space of the Hub

Gradio is the extra `ganzoo[app]`; page.py, controls.py, training.py,
telling.py and serving.py import it.
"""
