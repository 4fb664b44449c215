"""What a publisher says of an EBV cube."""

ABOUT = {
    "creator_name": "A. Botanist",
    "creator_institution": "An institute",
    "publisher_name": "P. Ublisher",
    "publisher_institution": "An agency",
    "publisher_email": "data@example.org",
    "license": "https://creativecommons.org/licenses/by/4.0/",
    "geospatial_scope": "Sub-national/Local",
    "geospatial_description": "A test region",
    "entity_scope": "Vascular plants",
}
