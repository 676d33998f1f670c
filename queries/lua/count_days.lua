-- Reads the counts of days.
-- KEYS: state, rows, days.
-- ARGV: the version of the counts that the caller has ('' none).
-- Returns {'same', position} if that is the version, else {'days', position, version, {field,
-- count...}}; {'gone'} if the generation must not be shown or lacks counts.
local number = require("projections.lua.number")
local state = require("projections.lua.state")
local keys, days = state.keys(KEYS), KEYS[3]
local known = ARGV[1]

local position = state.shown(keys)
if not position then return { "gone" } end
local counted, repair_epoch, last = unpack(redis.call("HMGET", keys.state, "days", "mends", "last"))
if number(counted) ~= redis.pcall("HLEN", days) then return { "gone" } end
local generation = string.match(keys.state, "-?%d+")
local version = table.concat({ generation, position, repair_epoch or "", last or "" }, ":")
if version == known then return { "same", tonumber(position) } end
return { "days", tonumber(position), version, redis.call("HGETALL", days) }
