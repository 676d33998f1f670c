-- Reads the state of a generation.
-- KEYS: `Keys.lasting`.
-- ARGV: the row format that is wanted.
-- Returns position, events, at, state, last, parked, dropped, format, log; the state may also be
-- one that is never stored. Returns {nil} if the generation does not exist.
local state = require("projections.lua.state")
local keys = state.keys(KEYS)
local row_format = ARGV[1]

local position, events, at, stored, last, parked, discarded, format, log = unpack(
  redis.pcall(
    "HMGET", keys.state,
    "position", "events", "at", "state", "last", "parked", "dropped", "format", "log"
  )
)
local current = state.of(keys, stored, format, row_format)
return { position or false, events, at, current, last, parked, discarded, format, log }
