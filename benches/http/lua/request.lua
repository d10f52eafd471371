-- One script for every row: what to send is in the environment.
--   BENCH_METHOD, BENCH_PATH, BENCH_BODY   `{n}` becomes a number that is used once, `{r}` one below BENCH_RANGE at random,
--                                          `{m}` one from 1 to BENCH_RANGE, the same everywhere in a request,
--                                          `{token}` the next line of BENCH_TOKENS (over and over)
--   BENCH_HEADERS                          `Name: value` per line
--   BENCH_KEEP                             a file that answers are appended to
--   BENCH_CHAIN                            a member of the answer that becomes the last token of the list
local method, path, body = os.getenv("BENCH_METHOD") or "GET", os.getenv("BENCH_PATH"), os.getenv("BENCH_BODY")
local range = tonumber(os.getenv("BENCH_RANGE") or "1")
local chain, keep = os.getenv("BENCH_CHAIN"), os.getenv("BENCH_KEEP")
local headers, tokens, first, count = {}, {}, 1, tonumber(os.getenv("BENCH_FROM") or "0")
for name, value in (os.getenv("BENCH_HEADERS") or ""):gmatch("([^\n:]+): ([^\n]+)") do headers[name] = value end
if os.getenv("BENCH_TOKENS") then
    for line in io.lines(os.getenv("BENCH_TOKENS")) do tokens[#tokens + 1] = line end
end

function init()
    math.randomseed(os.time())
    if keep then kept = io.open(keep, "a") end
end

local function fill(text, token)
    if not text then return nil end
    return (text:gsub("{(%w+)}", function(name)
        if name == "n" then return count end
        if name == "m" then return 1 + count * 7919 % range end
        if name == "r" then return math.random(0, range - 1) end
        return token
    end))
end

function request()
    count = count + 1
    local token
    if #tokens > 0 then
        if chain then
            token = tokens[first]
            tokens[first] = false
            first = first + 1
        else
            token = tokens[(count - 1) % #tokens + 1]
        end
    end
    local filled = {}
    for name, value in pairs(headers) do filled[name] = fill(value, token) end
    return wrk.format(method, fill(path, token), filled, fill(body, token))
end

if chain or keep then
    function response(status, _, answer)
        if chain then tokens[#tokens + 1] = answer:match('"' .. chain .. '":"([^"]+)"') end
        if keep then kept:write(answer, "\n") end
    end
end

function done(summary, latency)
    local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
    io.write(string.format("BENCH %d %d %d %.1f %.1f\n", summary.requests, summary.duration, failed,
        latency:percentile(50), latency:percentile(99)))
end
