-- Finds a point-in-time list and keeps it from expiring.
-- KEYS: `Keys.lasting`.
-- ARGV: seconds to keep it, name of its last event, row format.
-- Returns 1; 0 if there is no complete list of this log and format.
local state = require("projections.lua.state")
local keys = state.keys(KEYS)
local ttl_s, last, row_format = ARGV[1], ARGV[2], ARGV[3]

local fields = state.read(keys, "last", "format")
if fields.last ~= last or fields.format ~= row_format or not state.shown(keys) then return 0 end
for _, key in ipairs(KEYS) do redis.call("EXPIRE", key, ttl_s) end
return 1
