-- now_ms(): milliseconds since the epoch by Redis's own clock.
local function now_ms()
  local time = redis.call("TIME")
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

return now_ms
