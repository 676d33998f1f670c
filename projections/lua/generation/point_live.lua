-- Points readers to a generation.
-- KEYS: the pointer to the live generation.
-- ARGV: new generation; expected current one ('' any, '0' none); deadline in ms ('' none).
-- Returns 1; 0 if another generation is live or the deadline has passed.
local now_ms = require("projections.lua.clock")
local number = require("projections.lua.number")
local pointer = KEYS[1]
local new, expected, deadline_ms = ARGV[1], ARGV[2], ARGV[3]

local current = math.max(0, number(redis.pcall("GET", pointer)))
if expected ~= "" and current ~= tonumber(expected) then return 0 end
if deadline_ms ~= "" and now_ms() >= tonumber(deadline_ms) then return 0 end
redis.call("SET", pointer, new)
return 1
