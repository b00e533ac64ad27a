-- Runs after the load, once: the counts as numbers, instead of rounded in prose.
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("counts %.0f %.0f %.0f %.0f\n", summary.requests, summary.bytes, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout))
end
