-- Makes the state of a generation live.
-- KEYS: the state.
-- Returns the position; -1 if the generation does not exist or takes no events.
local number = require("projections.lua.number")
local state = require("projections.lua.state")
local keys = state.keys(KEYS)

local fields = state.read(keys, "position", "state")
local position = number(fields.position)
if position < 0 or not state.takes_events(fields.state) then return -1 end
redis.call("HSET", keys.state, "state", constants.LIVE)
return position
