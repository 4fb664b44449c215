"""Scientific names in the many ways that people write them.

Names are parsed by GBIF's name parser (https://github.com/gbif/name-parser-rust). A name is rewritten only where it
parses wholly into a genus and an epithet; every other name stays as it is written, so that `Rosa sp. 1`, a hybrid
formula, a vernacular name or a code is never taken for its genus.
"""

import re
import unicodedata
from functools import cache

import nameparser

_RANKS = {"SUBSPECIES": "subsp.", "VARIETY": "var.", "SUBVARIETY": "subvar.", "FORM": "f.", "SUBFORM": "subf."}
_PLAIN_RANKS = ("SPECIES", "INFRASPECIFIC_NAME", "SPECIES_AGGREGATE", "CULTIVAR")
_HARMLESS = {"homoglyphs replaced"}
_NO_EPITHETS = {"aggr", "agg", "convar", "cv", "gr", "grex", "grp", "sect", "ser", "sl", "sstr"}
_WIDE, _NARROW = re.compile(r"(s\.?|sensu) ?l(at|ato)?\.?"), re.compile(r"(s\.?|sensu) ?s(tr|tricto)?\.?")
_CROSS = "\N{MULTIPLICATION SIGN}"
_LABEL = re.compile(
    r" \(?([A-KM-Z]|[A-Z]?\d{1,3})\)?$|[a-z]{2}\.[a-z]{2}"
)  # a morphospecies, no author; or words that a dot joins
_RANK_AND_DOT = re.compile(r"\b(subsp|ssp|var|cf|aff)\.(?=[a-z])")


@cache
def normalise(name: str) -> str:
    """A name in the one form of all its spellings: `QUERCUS robur L.` as `quercus robur`.

    The form is in small letters: genus, epithet and what is below the species with its rank, without authors. What
    makes another taxon, or doubt, of a name stays: `cf.`, `aff.`, `agg.`, `s.l.`, the sign of a hybrid, a cultivar.
    """
    text = unicodedata.normalize("NFKC", name).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").replace("_", " ")
    text = re.sub(r"\baggr?\b\.?$", "agg.", " ".join(text.split()), flags=re.IGNORECASE)
    text = _RANK_AND_DOT.sub(r"\1. ", text)
    return _parsed(text) or text.replace(" x ", f" {_CROSS} ").casefold()


def _parsed(text: str) -> str | None:
    """Genus, epithets and marks of a name, or None where it is not wholly understood."""
    name = nameparser.parse_all([text])[0]
    if not isinstance(name, nameparser.ParsedName) or not name.genus or not name.specific_epithet:
        return None
    doubt = name.doubtful or name.unparsed or name.state != "COMPLETE" or set(name.warnings) - _HARMLESS
    unclear = name.rank not in (*_RANKS, *_PLAIN_RANKS) or name.infraspecific_epithet in _NO_EPITHETS
    if doubt or unclear or _LABEL.search(text):
        return None
    doubts, hybrid = name.epithet_qualifier or {}, set(name.notho or [])
    parts = [_mark(doubts, hybrid, "GENERIC"), name.genus, _mark(doubts, hybrid, "SPECIFIC"), name.specific_epithet]
    if name.infraspecific_epithet:
        parts += [_RANKS.get(name.rank, ""), _mark(doubts, hybrid, "INFRASPECIFIC"), name.infraspecific_epithet]
    if name.cultivar_epithet:
        parts.append(f"'{name.cultivar_epithet}'")
    if name.rank == "SPECIES_AGGREGATE":
        parts.append("agg.")
    if name.taxonomic_note:
        parts.append(_note(name.taxonomic_note.casefold()))
    return _without_accents(" ".join(part for part in parts if part)).casefold()


def _mark(doubts: dict[str, str], hybrid: set[str], part: str) -> str:
    return " ".join([doubts.get(part, ""), _CROSS if part in hybrid else ""]).strip()


def _without_accents(text: str) -> str:
    """The code of nomenclature leaves it to the writer whether to write a diaeresis: `Isoëtes`, `Isoetes`."""
    return "".join(each for each in unicodedata.normalize("NFD", text) if not unicodedata.combining(each))


def _note(note: str) -> str:
    """A taxonomic concept in one way: `s.l.`, `s.str.`, or as it is written."""
    return "s.l." if _WIDE.fullmatch(note) else "s.str." if _NARROW.fullmatch(note) else note


@cache
def above_species(name: str) -> bool:
    """Whether a scientific name is of a genus or a higher taxon: `Quercus L.`, `Quercus sp.`, `Fagaceae`."""
    parsed = nameparser.parse_all([name])[0]
    if parsed is None:
        return False
    found = parsed.to_dict()
    return not found.get("specificEpithet") and bool(found.get("uninomial") or found.get("taxonRank") == "GENUS")
