"""A small STAC client: items of an API or of a static catalogue, at any path or URL.

It asks for what a cube needs and no more: pages of `/search`, links to children and items, addresses of assets.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

from upath import UPath

from sdm_ray.errors import InputError

Json = dict[str, Any]
_AGAIN = (408, 429, 500, 502, 503, 504)
_MARGIN_S = 300  # a token is replaced this long before it ends


@dataclass(frozen=True)
class Client:
    """Fetches JSON, patiently.

    Attributes:
        retries: how often an answer is asked for again.
        backoff_s: pause before the first of these; the next are twice as long each.
        timeout_s: how long one answer may take.
    """

    retries: int
    backoff_s: float
    timeout_s: float

    def get(self, address: str, body: Json | None = None) -> Json:
        """The JSON object at a path or URL; with a body, what a POST answers.

        Raises:
            InputError: there is none, or the server does not answer.
        """
        for number in range(self.retries + 1):
            try:
                found = json.loads(self._bytes(address, body))
            except urllib.error.HTTPError as error:
                problem = f"answers {error.code} {error.reason}"
                if error.code not in _AGAIN:
                    break
            except FileNotFoundError:
                raise InputError(f"{address}: no such file") from None
            except (urllib.error.URLError, OSError) as error:
                problem = f"does not answer ({getattr(error, 'reason', error)})"
            except ValueError:
                problem = "is no JSON"
                break
            else:
                if isinstance(found, dict):
                    return found
                problem = f"holds {type(found).__name__}, expected a JSON object"
                break
            if number < self.retries:
                time.sleep(self.backoff_s * 2**number)
        raise InputError(f"{address}: {problem}")

    def _bytes(self, address: str, body: Json | None) -> bytes:
        if not _is_http(address):
            return UPath(address).read_bytes()
        request = urllib.request.Request(address, headers={"Accept": "application/geo+json, application/json"})
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=self.timeout_s) as answer:
            return answer.read()


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
    """Items of a catalogue, addresses of assets made absolute.

    An API narrows by what is asked; a static catalogue yields all items of the collections, so that dates, place and
    cloud cover are left to the caller to check.

    Raises:
        InputError: something is no STAC, or does not answer.
    """
    root = client.get(url)
    if "stac_version" not in root and "conformsTo" not in root and root.get("type") != "FeatureCollection":
        raise InputError(f"{url}: is no STAC catalogue (it has no stac_version)")
    search = _links(root, "search")
    if search and _is_http(url):
        yield from _search(client, join(url, search[0]["href"]), root.get("conformsTo", []), query)
    else:
        yield from _walk(client, url, root, query)


def join(base: str, href: str) -> str:
    """An address that may be relative to the document at `base`."""
    if "://" in href or href.startswith("/vsi"):
        return href
    if _is_http(base):
        return urljoin(base, href)
    if href.startswith("/"):
        return href
    if "://" not in base:
        return str(UPath(base).absolute().parent / href)
    scheme, _, rest = base.partition("://")
    return f"{scheme}:/{urljoin('/' + rest, href)}"


def _search(client: Client, url: str, conforms: list[str], query: Query) -> Iterator[Json]:
    """All pages of a search, one search for each period."""
    for first, last in query.periods:
        body: Json | None = {
            "collections": query.collections,
            "bbox": list(query.box),
            "datetime": f"{first}T00:00:00Z/{last}T23:59:59Z",
            "limit": query.page,
            **_cloud(conforms, query.max_cloud),
        }
        address, seen = url, set()
        while True:
            page = client.get(address, body)
            for item in page.get("features", []):
                yield _absolute(item, address)
            following = _links(page, "next")
            if not following:
                break
            link = following[0]
            address = join(address, link["href"])
            if link.get("method", "GET").upper() == "POST":
                body = {**(body or {}), **link.get("body", {})} if link.get("merge") else link.get("body", body)
            else:
                body = None
            request = json.dumps([address, body], sort_keys=True)
            if request in seen:
                raise InputError(f"{address}: the next page is one that was there before")
            seen.add(request)


def _cloud(conforms: list[str], most: float) -> Json:
    """The condition on cloud cover, in a language that the API says it knows."""
    if any("item-search#query" in each for each in conforms):
        return {"query": {"eo:cloud_cover": {"lte": most}}}
    if any("item-search#filter" in each for each in conforms):
        condition = {"op": "<=", "args": [{"property": "eo:cloud_cover"}, most]}
        return {"filter": condition, "filter-lang": "cql2-json"}
    return {}


def _walk(client: Client, url: str, root: Json, query: Query) -> Iterator[Json]:
    """Every item below a catalogue, each document read once."""
    waiting: list[tuple[str, Json | None]] = [(url, root)]
    seen = {url}
    while waiting:
        address, document = waiting.pop(0)
        document = document if document is not None else client.get(address)
        kind = document.get("type")
        if kind == "Feature":
            if document.get("collection") in (None, *query.collections):
                yield _absolute(document, address)
            continue
        if kind == "FeatureCollection":
            yield from (_absolute(item, address) for item in document.get("features", []))
        if kind == "Collection" and document.get("id") not in query.collections:
            continue
        for link in [*_links(document, "child"), *_links(document, "item"), *_links(document, "items")]:
            there = join(address, link["href"])
            if there not in seen:
                seen.add(there)
                waiting.append((there, None))


def _absolute(item: Json, address: str) -> Json:
    """An item whose assets have absolute addresses; its own address is what relative ones start from."""
    own = _links(item, "self")
    base = join(address, own[0]["href"]) if own and _is_http(address) else address
    assets = {key: {**asset, "href": join(base, asset["href"])} for key, asset in item.get("assets", {}).items()}
    return {**item, "assets": assets}


def _links(document: Json, rel: str) -> list[Json]:
    return [link for link in document.get("links", []) if link.get("rel") == rel and "href" in link]


def _is_http(address: str) -> bool:
    return address.startswith(("http://", "https://"))


class Signer:
    """Appends a token to addresses, and asks for a new one before the old one ends.

    Without an address that answers with tokens, or a client, addresses stay as they are.
    """

    def __init__(self, client: Client | None = None, address: str | None = None) -> None:
        self._client = client
        self._address = address
        self._token = ""
        self._ends = 0.0

    def __call__(self, href: str) -> str:
        """The address to open."""
        if self._client is None or self._address is None or not _is_http(href):
            return href
        if time.time() > self._ends - _MARGIN_S:
            self._renew(self._client, self._address)
        return f"{href}{'&' if '?' in href else '?'}{self._token}"

    def _renew(self, client: Client, address: str) -> None:
        answer = client.get(address)
        if not answer.get("token"):
            raise InputError(f"{address}: answers without a token; found {', '.join(answer)}")
        self._token = str(answer["token"]).lstrip("?")
        self._ends = time.time() + 2 * _MARGIN_S
        ends = answer.get("msft:expiry") or answer.get("expiry")
        if ends:
            self._ends = datetime.fromisoformat(str(ends).replace("Z", "+00:00")).astimezone(UTC).timestamp()
