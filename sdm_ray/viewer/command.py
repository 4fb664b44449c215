"""The command `view`."""

import webbrowser
from collections.abc import Sequence
from pathlib import Path

from sdm_ray.progress import say
from sdm_ray.viewer.server import LOCAL, open_server
from sdm_ray.viewer.site import find, write_static


def serve(maps: Sequence[str], host: str, port: int | None, *, open_browser: bool) -> None:
    """Serve the page of some maps until Ctrl-C.

    Raises:
        InputError: a map cannot be shown, or the address cannot be listened on.
    """
    site = find(maps)
    with open_server(site, host, port) as server:
        say(f"view: {server.url} shows {', '.join(each.label for each in site.maps)}; Ctrl-C ends it")
        if site.land is None:
            say("view: there is no land store next to the map, so no coastlines and borders are drawn")
        if host != LOCAL:
            say(f"view: whoever reaches {host} can read the map's folder")
        if open_browser:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("view: ended")


def write(maps: Sequence[str], folder: Path) -> None:
    """Write the page of some maps for any web server or bucket.

    Raises:
        InputError: a map cannot be shown, or the folder cannot be written.
    """
    site = find(maps)
    write_static(site, folder)
    places = ", ".join(each["url"] for each in site.config(folder.absolute())["maps"])
    say(f"view: {folder / 'index.html'} reads {places} from where it lies; serve both with byte ranges")
