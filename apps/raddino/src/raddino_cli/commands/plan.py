"""`raddino plan`: the bill of a run, before it is paid."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    recipe: Annotated[str, typer.Option(help="Name of a recipe, or a TOML file.")] = "rad-dino-vitb14-518",
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Override, as `train.batch_size=1024`; may be repeated.")
    ] = None,
    gpu: Annotated[
        str, typer.Option(help="a100-40, a100-80, h100, h200, b200, mi300x, l40s, a6000 or rtx4090.")
    ] = "a100-80",
    gpus: Annotated[int, typer.Option(min=1, help="How many of them share a batch.")] = 64,
    images: Annotated[int, typer.Option(min=1, help="Images of the data set.")] = 882775,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Steps of the run (default: the recipe's train.steps).")
    ] = None,
    utilisation: Annotated[
        float, typer.Option(help="Share of a card's peak that is reached; 0.27 brings published runs within 35 %.")
    ] = 0.27,
    link: Annotated[
        float | None,
        typer.Option(
            min=0.01, help="GB/s that a card can send (default: the table's, in a machine of 8 or between machines)."
        ),
    ] = None,
    price: Annotated[float | None, typer.Option(min=0, help="Price of a GPU hour, in any currency.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """FLOPs, memory, hours, energy and cost of a run, on paper; where it does not fit, what to change.

    Nothing is run and no GPU is needed. Exit code 1 where a card can't hold its part.

    Examples:
    `raddino plan --recipe rad-dino-vitb14-518 --gpu a100-80 --gpus 64 --images 882775 --price 2`,
    `raddino plan --gpu rtx4090 --gpus 1 --images 112120 --set train.batch_size=32 --iterations 20000`
    """
    from raddino_cli.work.gpus import find_gpu

    find_gpu(gpu)  # a name that isn't there is told before torch is imported
    import ssl_core

    from raddino_cli.console import print_json, table
    from raddino_cli.work.plan_tables import as_json as plain
    from raddino_cli.work.plan_tables import refusal, tables
    from raddino_cli.work.planning import Request, plan

    steps = [f"train.steps={iterations}"] if iterations else []
    config = ssl_core.load_config(recipe, [*(overrides or []), *steps])
    speed = None if link is None else link * 1e9
    request = Request(config, gpu, gpus, images, utilisation, speed, price)
    found = plan(request)
    if as_json:
        print_json(plain(found))
    else:
        for title, columns, rows in tables(request, found):
            table(title, columns, rows)
    if not found.fits:
        raise ValueError(refusal(request, found))
