-- apply_writes(keys, args, first): runs the commands that `projections.lua.arguments` encodes in
-- `args` from `first` on: name, number of the key, number of values, values. HINCRBY takes one
-- field; where that holds no number, its count begins anew.

-- Lua unpacks at most some 8,000 values at once: long commands are cut, always between pairs.
local VALUES_AT_ONCE = 5000

local function increase(key, field, by)
  local answer = redis.pcall("HINCRBY", key, field, by)
  if type(answer) == "table" and answer.err then redis.call("HSET", key, field, by) end
end

local function apply_writes(keys, args, first)
  local at = first
  while at <= #args do
    local name, key = args[at], keys[tonumber(args[at + 1])]
    local from, last = at + 3, at + 2 + tonumber(args[at + 2])
    while from <= last do
      local to = math.min(from + VALUES_AT_ONCE - 1, last)
      if name == "HINCRBY" then
        increase(key, unpack(args, from, to))
      else
        redis.call(name, key, unpack(args, from, to))
      end
      from = to + 1
    end
    at = last + 1
  end
end

return apply_writes
