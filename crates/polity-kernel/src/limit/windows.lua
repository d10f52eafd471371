-- Counts units in all windows, or in none. KEYS: one per window. ARGV: per window the units, its length in microseconds and
-- its limit. Answers with the time, and for each window how much of it was used before.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answer = {string.format('%.0f', now)}
local ends, after, allowed = {}, {}, true
for i, key in ipairs(KEYS) do
    local units, length, limit = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
    ends[i] = now - now % length + length
    local state = redis.call('HMGET', key, 'ends', 'used')
    local used = 0
    if tonumber(state[1] or 0) == ends[i] then used = tonumber(state[2]) end
    answer[i + 1] = string.format('%.0f', used)
    after[i] = used + units
    allowed = allowed and used < limit and after[i] <= limit
end
if allowed then
    for i, key in ipairs(KEYS) do
        redis.call('HSET', key, 'ends', string.format('%.0f', ends[i]), 'used', string.format('%.0f', after[i]))
        redis.call('PEXPIRE', key, string.format('%.0f', math.ceil((ends[i] - now) / 1000) + 1))
    end
end
return answer
