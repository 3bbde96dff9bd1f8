-- stats counts some lanes, and at no more of them than it can in a short time: the next call goes on behind
-- the last one.
-- ARGV: place to go on behind, see lanes_after.
-- Reply: now, where to go on (empty = that was all), counts by the state's digit (0-5), held, due, the
-- oldest due (0 = none), in flight, merchants active, failing, paused and with an open breaker; with the first
-- lanes of the shard also its pending ones by the next send, as HGETALL gives them.
local gone = emptied()
if gone then return gone end
local place = ARGV[2]
local halted, work = stopped(), 0
local states, held, due, oldest, flying = {0, 0, 0, 0, 0, 0}, 0, 0, NEVER, 0
local merchants = {active = 0, failing = 0, paused = 0, open = 0}

local function count_due(L)
  if L.wt <= 0 then return end
  for class = 0, 2 do
    local key = P .. 'd' .. class .. ':' .. L.mch
    local at = first(key)
    if at <= now then
      due = due + redis.call('ZCOUNT', key, '-inf', int(now))
      oldest = math.min(oldest, at)
    end
  end
  work = work + 4
end

local function count(L)
  local pending = 0
  work = work + 3
  for part in parts(L) do
    local digit, n = tonumber(string.sub(part, 1, 1)), redis.call('ZCARD', key_of(L, part))
    states[digit + 1] = states[digit + 1] + n
    if digit == 0 then pending = pending + n end
    work = work + 1
  end
  flying = flying + inflight(L)
  if halted or closed(L) or L.op then
    held = held + pending
    return
  end
  if pending > 0 then held = held + redis.call('ZCARD', P .. 'b:' .. L.mch) end
  count_due(L)
end

local go_on = each_lane(place, function(mch)
  local L = view(mch)
  count(L)
  if not L.dl then
    local how = paused(L) and 'paused' or (L.op and not L.bl) and 'open' or (L.bl or L.fa == '1') and 'failing' or 'active'
    merchants[how] = merchants[how] + 1
  end
end, function() return work end)

local out = {now, go_on}
for _, n in ipairs(states) do out[#out + 1] = n end
local m = merchants
for _, n in ipairs({held, due, oldest < NEVER and oldest or 0, flying, m.active, m.failing, m.paused, m.open}) do
  out[#out + 1] = n
end
if place == '' then out[#out + 1] = redis.call('HGETALL', P .. 'snd') end
return out
