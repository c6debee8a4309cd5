-- SPDX-License-Identifier: GPL-2.0-or-later
-- wrk's part of `make bench`: one POST /predict, as many FEATURES as are asked for (5), and
-- one line of figures for the program that started it.
local n = tonumber(os.getenv("FEATURES") or "5")
local first = {0.5, 1.2, 0.8, 0.3, 1.1}
local features = {}
for i = 1, n do features[i] = first[(i - 1) % 5 + 1] end
wrk.method = "POST"
wrk.body = '{"features":[' .. table.concat(features, ",") .. "]}"
wrk.headers["Content-Type"] = "application/json"

function done(summary, latency)
    local e = summary.errors
    io.write(string.format("figures %d %d %.1f %.1f %.1f %d\n", summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
        e.connect + e.read + e.write + e.status + e.timeout))
end
