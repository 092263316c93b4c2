DROP TABLE deferred_outcome;
DROP TABLE deferred;
