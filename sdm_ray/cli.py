"""The command line: one command for each job, `run` for a folder of them, and the demo.

Nothing heavy is imported before the configuration has been read and checked.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from sdm_ray import jobs
from sdm_ray.errors import find_input_error, store_error

app = typer.Typer(
    help="From satellite tiles and field photos to species maps of a continent.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich takes longer to import than everything else here
    pretty_exceptions_enable=False,
)
ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="The job's YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[key=value | --key [value] ...]", help="Values that replace those of the file."),
]
OutFolder = Annotated[
    str | None,
    typer.Option("--out", metavar="DIR", help="Run folder; default $SDM_RAY_RUNS/<folder's name>."),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace maps that were made from other inputs or settings.")
]


@contextmanager
def one_line_errors(command: str) -> Iterator[None]:
    """Report an InputError or a store out of reach in one line with exit status 2, and an interrupt with 130."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"sdm-ray {command}: interrupted; what was finished is kept", err=True)
        raise typer.Exit(130) from None
    except Exception as error:
        mistake = find_input_error(error) or store_error(error)
        if mistake is None:
            raise
        typer.echo(f"sdm-ray {command}: {mistake}", err=True)
        raise typer.Exit(2) from None


def _add_job(name: str, entry: jobs.Entry) -> None:
    def show_keys(asked: bool) -> None:
        if asked:
            from sdm_ray.config_keys import listing

            typer.echo("\n".join(listing(jobs.config_class(name))))
            raise typer.Exit

    shown = typer.Option("--keys", is_eager=True, callback=show_keys, help="List every key with type and default.")

    def command(config: ConfigFile, overrides: Overrides = None, keys: Annotated[bool, shown] = False) -> None:
        with one_line_errors(name):
            jobs.run_job(name, config, as_overrides(overrides or []))

    settings = {"ignore_unknown_options": True}  # they are values of the configuration
    app.command(name, help=entry.help, short_help=entry.help, context_settings=settings)(command)


def as_overrides(words: Sequence[str]) -> list[str]:
    """Words behind a configuration file as `key=value`: `--dry-run` is `dry_run=true`, `--bits 16` is `bits=16`."""
    found: list[str] = []
    for word in words:
        if word.startswith("--"):
            key, equals, value = word[2:].partition("=")
            found.append(f"{key.replace('-', '_')}={value if equals else 'true'}")
        elif "=" not in word and found and found[-1].endswith("=true"):
            found[-1] = found[-1].removesuffix("true") + word
        else:
            found.append(word)
    return found


for _name, _entry in jobs.JOBS.items():
    _add_job(_name, _entry)


@app.command(short_help="Run the jobs of a folder in order; what is finished and unchanged is kept.")
def run(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of job configurations.")],
    out: OutFolder = None,
    overwrite: Overwrite = False,
) -> None:
    """Run the jobs of a folder in order; what is finished and unchanged is kept. Ends with report.html."""
    with one_line_errors("run"):
        jobs.run_folder(folder, out, overwrite=overwrite)


@app.command(
    short_help="Write the configurations of your own table and rasters.",
    context_settings={"allow_extra_args": True},  # `--rasters a.tif b.tif`, as a shell expands a pattern
)
def init(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the YAML files go.")],
    table: Annotated[str, typer.Option(metavar="FILE", help="Species records: any table or file of points.")],
    rasters: Annotated[list[str], typer.Option(metavar="FILE ...", help="Covariates: any rasters that GDAL reads.")],
    lon: Annotated[str | None, typer.Option(help="Column of longitudes, or of eastings in --crs.")] = None,
    lat: Annotated[str | None, typer.Option(help="Column of latitudes, or of northings.")] = None,
    crs: Annotated[str | None, typer.Option(help="Projection of the coordinates, such as EPSG:25832.")] = None,
    species: Annotated[
        str | None, typer.Option(help="Column of species names; or columns of species: 'a,b', 'sp_*', 'first:last'.")
    ] = None,
    presence: Annotated[str | None, typer.Option(help="Column of presence and absence, counts or cover.")] = None,
    survey: Annotated[str | None, typer.Option(help="Column that the rows of one survey share.")] = None,
    date: Annotated[str | None, typer.Option(help="Column of dates.")] = None,
    year: Annotated[str | None, typer.Option(help="Column of years.")] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="occurrence: every species was looked for; recorded: an inventory; relative: presence-only."),
    ] = None,
    scope: Annotated[
        str | None, typer.Option(help="Taxon that the sampling events of a Darwin Core archive report fully.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Of a text file, such as cp1252.")] = None,
    sheet: Annotated[str | None, typer.Option(help="Of a spreadsheet.")] = None,
    layer: Annotated[str | None, typer.Option(help="Of a file of several layers.")] = None,
    raster_crs: Annotated[str | None, typer.Option(help="Projection of rasters that state none.")] = None,
    resolution: Annotated[int | None, typer.Option(help="Side of a map's cell, metres.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the files of an earlier init.")] = False,
) -> None:
    """Write a folder of configurations for a table of species records and covariate rasters, for `sdm-ray run`.

    Columns, encoding, decimal sign, kind of records, region, cells, blocks and training are guessed and shown.
    """
    with one_line_errors("init"):
        from sdm_ray.init.command import create
        from sdm_ray.init.stated import stated_of

        flags = {name: value for name, value in context.params.items() if name not in ("folder", "table", "rasters")}
        for line in create(folder, table, [*rasters, *context.args], stated_of(flags), overwrite=overwrite):
            typer.echo(line)


@app.command(short_help="Run every job on a virtual landscape with known species probabilities.")
def demo(out: OutFolder = None, overwrite: Overwrite = False) -> None:
    """Run every job on a virtual landscape whose true species probabilities are known."""
    with one_line_errors("demo"):
        jobs.run_folder(jobs.shipped_configs() / "demo", out, overwrite=overwrite)


@app.command(short_help="Show maps in a browser, from their Zarr stores.")
def view(
    maps: Annotated[list[str], typer.Argument(metavar="MAP ...", help="Folders of maps; two can be compared.")],
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="By default 8642, or any that is free.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; other machines reach only 0.0.0.0.")] = "127.0.0.1",
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    static: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the page there, for any web server or bucket.")
    ] = None,
) -> None:
    """Show maps in a browser: a page on this machine, until Ctrl-C, or with --static a folder for any web server."""
    with one_line_errors("view"):
        from sdm_ray.viewer.command import serve, write

        if static is not None:
            write(maps, static)
        else:
            serve(maps, host, port, open_browser=open_browser)


def main() -> None:
    """Entry point of the `sdm-ray` command."""
    app()


def job_main(name: str) -> None:
    """Entry point of `jobs/<name>.py`: the same as `sdm-ray <name>`."""
    app(args=[name, *sys.argv[1:]], prog_name=f"jobs/{name}.py")
