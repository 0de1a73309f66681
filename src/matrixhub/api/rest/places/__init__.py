"""Places over REST: properties, buildings, levels, zones and their lists; audits, media, device slots."""

from matrixhub.api.rest.places import audits, buildings, catalogue, levels, media, properties, slots, zones

handlers = [
    *properties.handlers,
    *buildings.handlers,
    *levels.handlers,
    *zones.handlers,
    *catalogue.handlers,
    *audits.handlers,
    *media.handlers,
    *slots.handlers,
]
