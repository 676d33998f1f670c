-- apply_writes(keys, args, first): runs the commands that `projections.lua.arguments` encodes in
-- `args` from `first` on: name, number of the key, number of values, values.

-- Lua unpacks at most some 8,000 values at once: long commands are cut, always between pairs.
local VALUES_AT_ONCE = 5000

local function apply_writes(keys, args, first)
  local at = first
  while at <= #args do
    local name, key = args[at], keys[tonumber(args[at + 1])]
    local from, last = at + 3, at + 2 + tonumber(args[at + 2])
    while from <= last do
      local to = math.min(from + VALUES_AT_ONCE - 1, last)
      redis.call(name, key, unpack(args, from, to))
      from = to + 1
    end
    at = last + 1
  end
end

return apply_writes
