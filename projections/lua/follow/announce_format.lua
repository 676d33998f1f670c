-- Announces the row format of a running projection, unless a newer one is announced.
-- KEYS: the newest row format.
-- ARGV: row format, milliseconds that the announcement lasts.
-- Returns the newest format that is announced now.
local number = require("projections.lua.number")
local newest_format = KEYS[1]
local row_format, for_ms = tonumber(ARGV[1]), ARGV[2]

local newest = number(redis.pcall("GET", newest_format))
if newest > row_format then return newest end
redis.call("SET", newest_format, row_format, "PX", for_ms)
return row_format
