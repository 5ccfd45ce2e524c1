"""One module a command: options and words only; the work is in `raddino_cli.work`, imported when it is called."""
