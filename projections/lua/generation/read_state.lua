-- Reads the state of a generation.
-- KEYS: `Keys.lasting`.
-- ARGV: the row format that is wanted.
-- Returns position, events, at, state, last, parked, dropped, format, log; the state may also be
-- one that is never stored. Returns {nil} if the generation does not exist.
local state = require("projections.lua.state")
local keys = state.keys(KEYS)
local row_format = ARGV[1]

local fields = state.read(
  keys, "position", "events", "at", "state", "last", "parked", "dropped", "format", "log"
)
return {
  fields.position or false,
  fields.events,
  fields.at,
  state.of(keys, fields, row_format),
  fields.last,
  fields.parked,
  fields.dropped,
  fields.format,
  fields.log,
}
