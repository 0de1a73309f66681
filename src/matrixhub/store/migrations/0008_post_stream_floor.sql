-- Each stream has a floor of its own now, in stream_floors.
drop table stream_floor;
