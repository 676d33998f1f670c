-- Pauses the projection of a generation.
-- KEYS: the state.
-- ARGV: milliseconds, the row format that is wanted.
-- Returns position and end of the pause in ms since the epoch. The end is 0 if the generation is
-- paused already and -1 if its rows have another format; {} if it does not exist.
local now_ms = require("projections.lua.clock")
local number = require("projections.lua.number")
local state = require("projections.lua.state")
local keys = state.keys(KEYS)
local for_ms, row_format = tonumber(ARGV[1]), ARGV[2]

local fields = state.read(keys, "position", "hold", "format")
local position = number(fields.position)
if position < 0 then return {} end
if (fields.format or "1") ~= row_format then return { position, -1 } end
if state.is_paused(fields.hold) then return { position, 0 } end
local until_ms = now_ms() + for_ms
redis.call("HSET", keys.state, "hold", string.format("%d", until_ms))
return { position, until_ms }
