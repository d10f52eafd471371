-- Counts one call under all rules, or under none. KEYS: one per rule. ARGV: per rule the microseconds that a call costs,
-- and how many calls may come at once. Answers with the time, and for each rule when its allowance was to be full again.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answer = {string.format('%.0f', now)}
local after, allowed = {}, true
for i, key in ipairs(KEYS) do
    local cost, burst = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    local latest = now + cost * burst
    local full_at = tonumber(redis.call('GET', key) or 0)
    answer[i + 1] = string.format('%.0f', full_at)
    full_at = math.min(math.max(full_at, now), latest)
    after[i] = full_at + cost
    allowed = allowed and after[i] <= latest
end
if allowed then
    for i, key in ipairs(KEYS) do
        local lasts = math.ceil((after[i] - now) / 1000) + 1
        redis.call('SET', key, string.format('%.0f', after[i]), 'PX', string.format('%.0f', lasts))
    end
end
return answer
