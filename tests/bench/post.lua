-- SPDX-License-Identifier: GPL-2.0-or-later
-- wrk's part of `make bench` and `make growth`: one POST /predict, as many FEATURES as are asked
-- for (5), of 17 digits if DIGITS says so, PIPELINE of them in one write, and one line of figures
-- for the program that started it.
local n = tonumber(os.getenv("FEATURES") or "5")
local pipeline = tonumber(os.getenv("PIPELINE") or "1")
local first = {0.5, 1.2, 0.8, 0.3, 1.1}
if os.getenv("DIGITS") == "17" then
    first = {"0.51234567890123456", "1.2123456789012345", "0.81234567890123456",
             "0.31234567890123456", "1.1123456789012345"}
end
local features = {}
for i = 1, n do features[i] = first[(i - 1) % 5 + 1] end
wrk.method = "POST"
wrk.body = '{"features":[' .. table.concat(features, ",") .. "]}"
wrk.headers["Content-Type"] = "application/json"

if pipeline > 1 then
    local requests
    function init()
        requests = string.rep(wrk.format(), pipeline)
    end
    function request()
        return requests
    end
end

function done(summary, latency)
    local e = summary.errors
    io.write(string.format("figures %d %d %.1f %.1f %.1f %d\n", summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
        e.connect + e.read + e.write + e.status + e.timeout))
end
