"""A map inside a notebook: the page in a frame, from a server in a thread of the notebook's process."""

import html
import os
from dataclasses import dataclass

from sdm_ray.viewer.server import Server, open_server
from sdm_ray.viewer.site import find


@dataclass(frozen=True)
class Shown:
    """A page that a notebook shows as the value of a cell.

    Attributes:
        server: runs until `close` or the end of the process.
        height: of the frame, pixels.
    """

    server: Server
    height: int

    @property
    def url(self) -> str:
        """Address of the page."""
        return self.server.url

    def close(self) -> None:
        """Stop the server; the page stays, and finds no more tiles."""
        self.server.shutdown()
        self.server.server_close()

    def _repr_html_(self) -> str:
        address = html.escape(self.url)
        frame = f'<iframe src="{address}" title="Map" width="100%" height="{self.height}" style="border:0"></iframe>'
        return f'{frame}<p><a href="{address}" target="_blank" rel="noopener">Open in a tab</a></p>'


def show(*maps: str | os.PathLike[str], height: int = 640) -> Shown:
    """Show maps in a notebook whose browser runs on the same machine.

    Args:
        *maps: folders of maps; of several, two can be compared.
        height: of the frame, pixels.

    Returns:
        What the notebook displays; `.url` is the page's address, `.close()` stops its server.

    Raises:
        InputError: no map is given, or one is missing, unfinished or cannot be read by a browser.
    """
    server = open_server(find([os.fspath(each) for each in maps]), port=0)
    server.start()
    return Shown(server, height)
