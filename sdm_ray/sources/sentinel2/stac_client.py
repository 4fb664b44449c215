"""STAC documents of an API or of a static catalogue, at any path or URL.

`pystac_client` searches; what it lacks is here: catalogues at any fsspec URL, errors that name the address, the pages
after an empty one, and links that lead in a circle.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pystac import Link
from pystac.utils import make_absolute_href
from pystac_client import ItemSearch
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.sources.sentinel2.retries import RetryPolicy
from sdm_ray.stores.files import first_line

Json = dict[str, Any]
_TRANSIENT = (None, 408, 429, 500, 502, 503, 504)  # None: no answer at all


class Client(StacApiIO):
    """Reads JSON objects, and tries again what may be there later.

    Args:
        policy: how often an answer is asked for again.
        timeout_s: how long one answer may take.
    """

    def __init__(self, policy: RetryPolicy, timeout_s: float) -> None:
        accept = {"Accept": "application/geo+json, application/json"}
        super().__init__(headers=accept, timeout=timeout_s, max_retries=None)
        self._policy = policy

    def get(self, address: str) -> Json:
        """The JSON object at a path or URL.

        Raises:
            InputError: there is none, or the server does not answer.
        """
        return self.read_json(address)

    def read_json(self, source: Any, *args: Any, **kwargs: Any) -> Json:  # noqa: ANN401 - as of the base class
        """The JSON object at a path, a URL or a link, which may hold the body of a POST.

        Raises:
            InputError: there is none, or the server does not answer.
        """
        address = source.href if isinstance(source, Link) else str(source)
        try:
            found = json.loads(self._policy.call(lambda: self.read_text(source, *args, **kwargs), _transient))
        except APIError as error:
            raise InputError(f"{address}: {_reason(error)}") from None
        except FileNotFoundError:
            raise InputError(f"{address}: no such file") from None
        except ValueError:
            raise InputError(f"{address}: is no JSON") from None
        except OSError as error:
            raise InputError(f"{address}: cannot be read ({error})") from None
        if not isinstance(found, dict):
            raise InputError(f"{address}: holds {type(found).__name__}, expected a JSON object")
        return found

    def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:  # noqa: ANN401 - as of the base class
        """The text at a path, a URL or a link."""
        if isinstance(source, str) and not is_http(source):
            return UPath(source).read_text()
        return super().read_text(source, *args, **kwargs)

    def get_pages(self, url: str, method: str | None = None, parameters: Json | None = None) -> Iterator[Json]:
        """All pages of a search.

        Raises:
            InputError: a page cannot be read, or was there before.
        """
        page = self.read_json(url, method=method, parameters=parameters)
        yield page
        seen = set()
        while following := links(page, "next"):
            link = {"body": parameters, **following[0]}
            link |= {"href": join(url, link["href"]), "method": link.get("method", "GET").upper()}
            key = json.dumps(link, sort_keys=True)
            if key in seen:
                raise InputError(f"{link['href']}: the next page is one that was there before")
            seen.add(key)
            page = self.read_json(Link.from_dict(link), parameters=parameters)
            yield page


@dataclass(frozen=True)
class Query:
    """What is looked for.

    Attributes:
        collections: ids of collections.
        box: west, south, east, north, degrees.
        periods: first and last day of each interval, `2021-06-01`.
        max_cloud: percent.
        page: items to a page.
    """

    collections: list[str]
    box: tuple[float, float, float, float]
    periods: list[tuple[str, str]]
    max_cloud: float
    page: int


def items(client: Client, url: str, query: Query) -> Iterator[Json]:
    """Items of a catalogue, as they are but for the addresses of their assets, which are absolute.

    An API selects by place, dates and cloud cover; a static catalogue yields all items of the collections, so that the
    caller has to check these.

    Raises:
        InputError: something is no STAC, or does not answer.
    """
    root = client.get(url)
    if "stac_version" not in root and "conformsTo" not in root and root.get("type") != "FeatureCollection":
        raise InputError(f"{url}: is no STAC catalogue (it has no stac_version)")
    with _specified(url):
        search = links(root, "search")
    if search and is_http(url):
        with _specified(url):
            yield from _search(client, join(url, search[0]["href"]), root.get("conformsTo", []), query)
    else:
        yield from _walk(client, url, root, query)


def join(base: str, href: str) -> str:
    """An address that may be relative to the document at `base`; `/vsi...` is one of GDAL's own."""
    return href if href.startswith("/vsi") else make_absolute_href(href, base, start_is_dir=False)


def links(document: Json, rel: str) -> list[Json]:
    """The links of a document with a relation that have an address."""
    return [link for link in document.get("links", []) if link.get("rel") == rel and "href" in link]


def is_http(address: str) -> bool:
    """Whether a web server is asked."""
    return address.startswith(("http://", "https://"))


def _search(client: Client, url: str, conforms: list[str], query: Query) -> Iterator[Json]:
    """All pages of a search, one search for each period."""
    for first, last in query.periods:
        search = ItemSearch(
            url,
            method="POST",
            stac_io=client,
            collections=query.collections,
            bbox=query.box,
            datetime=f"{first}T00:00:00Z/{last}T23:59:59Z",
            limit=query.page,
            **_cloud(conforms, query.max_cloud),
        )
        for page in client.get_pages(url, "POST", search.get_parameters()):  # its own pages end at an empty one
            yield from (_absolute(item, url) for item in page.get("features", []))


def _cloud(conforms: list[str], most: float) -> Json:
    """The condition on cloud cover, in a language that the API states to know."""
    if any("item-search#query" in each for each in conforms):
        return {"query": {"eo:cloud_cover": {"lte": most}}}
    if any("item-search#filter" in each for each in conforms):
        condition = {"op": "<=", "args": [{"property": "eo:cloud_cover"}, most]}
        return {"filter": condition, "filter_lang": "cql2-json"}
    return {}


def _walk(client: Client, url: str, root: Json, query: Query) -> Iterator[Json]:
    """Every item below a catalogue, each document read once."""
    waiting: list[tuple[str, Json | None]] = [(url, root)]
    seen = {url}
    while waiting:
        address, document = waiting.pop(0)
        document = document if document is not None else client.get(address)
        with _specified(address):
            yield from _items_of(document, address, query)
            for there in _below(document, address, query):
                if there not in seen:
                    seen.add(there)
                    waiting.append((there, None))


def _items_of(document: Json, address: str, query: Query) -> Iterator[Json]:
    if document.get("type") == "Feature" and document.get("collection") in (None, *query.collections):
        yield _absolute(document, address)
    if document.get("type") == "FeatureCollection":
        yield from (_absolute(item, address) for item in document.get("features", []))


def _below(document: Json, address: str, query: Query) -> Iterator[str]:
    """Addresses of what a catalogue or collection links to."""
    kind = document.get("type")
    if kind == "Feature" or (kind == "Collection" and document.get("id") not in query.collections):
        return
    for link in [*links(document, "child"), *links(document, "item"), *links(document, "items")]:
        yield join(address, link["href"])


@contextmanager
def _specified(address: str) -> Iterator[None]:
    """Report in one line a document whose parts are not of the types that the specification names.

    Raises:
        InputError: naming its address.
    """
    try:
        yield
    except (AttributeError, TypeError, ValueError, LookupError) as error:
        raise InputError(f"{address}: is not as STAC specifies ({type(error).__name__}: {first_line(error)})") from None


def _absolute(item: Json, address: str) -> Json:
    """An item whose assets have absolute addresses; relative ones start from its own address.

    One that is not as specified stays as it is: who reads it reports it.
    """
    try:
        own = links(item, "self")
        base = join(address, own[0]["href"]) if own and is_http(address) else address
        assets = {
            key: {**asset, "href": join(base, asset["href"])}
            for key, asset in item.get("assets", {}).items()
            if "href" in asset
        }
        return {**item, "assets": assets}
    except (AttributeError, TypeError, ValueError):
        return item


def _transient(error: BaseException) -> bool:
    if isinstance(error, APIError):
        return _status(error) in _TRANSIENT
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError)


def _reason(error: APIError) -> str:
    status = _status(error)
    if status is None:
        return f"does not answer ({error})"
    known = {each.value: each.phrase for each in HTTPStatus}
    return f"answers {status} {known.get(status, '')}".rstrip()


def _status(error: APIError) -> int | None:
    """The HTTP status of an answer; None where there was no answer, which pystac_client leaves unset."""
    return getattr(error, "status_code", None)
