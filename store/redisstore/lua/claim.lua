-- claim gives out due notifications of a lane, in lane order.
-- ARGV: mch_id, how many at most, lease, default cap, version of records this node knows, tokens of 6 bytes.
-- Reply: now, store.LaneStatus, when the lane has work again (0 = unknown), revision, how many were left
-- alone because a newer version wrote them, then notify_id and record of each.
local mch, most, lease, default = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local known, fresh = tonumber(ARGV[6]), ARGV[7]
local IDLE, MORE, CAPPED, RATED, HELD, TIGHT = 0, 1, 2, 3, 4, 5
local RETRY_EVERY = 4 -- at least one claim in so many goes to the oldest due retry

-- since is now in 7 bytes, big end first.
local since = ''
do
  local x = now
  for _ = 1, 7 do
    since = string.char(x % 256) .. since
    x = math.floor(x / 256)
  end
end

local L = lane(mch)
if not L or L.dl then
  return emptied() or {now, IDLE, 0, 0, 0}
end

local out, given, newer = {now, IDLE, 0, L.rv, 0}, 0, 0
local heads, skip = {}, {[0] = 0, 0, 0}

-- head is the oldest due notification of a class, nil when there is none.
local function head(class)
  local h = heads[class]
  if h and h.at <= #h then return h[h.at] end
  if h and #h <= most then return nil end -- all of them were seen
  local key = P .. 'd' .. class .. ':' .. mch
  h = redis.call('ZRANGEBYSCORE', key, '-inf', int(now), 'LIMIT', skip[class], most + 1)
  h.at = 1
  heads[class] = h
  return h[1]
end

-- turn is the class whose turn it is, among those that have something due.
local function turn()
  if L.wt <= 0 then return nil end
  if L.tn >= RETRY_EVERY - 1 and head(2) then return 2 end
  for class = 0, 2 do
    if head(class) then return class end
  end
end

local function give(class, id, raw)
  local mark = string.sub(fresh, 6 * given + 1, 6 * given + 6) .. since .. class
  redis.call('SETRANGE', P .. 'n:' .. id, 5, mark)
  redis.call('ZADD', P .. 'c:' .. mch, int(now + lease), id)
  spend(L)
  put(L, 'tn', class == 2 and 0 or L.tn + 1)
  given = given + 1
  local n = #out
  out[n + 1], out[n + 2] = id, string.sub(raw, 1, 5) .. mark .. string.sub(raw, 20)
end

-- pick_tight is the next of a lane that is held back: a class and a notify_id, or nil when nothing may go.
local function pick_tight(flying)
  local names, dues, classes = {}, {}, {}
  local order = L.tn >= RETRY_EVERY - 1 and {2, 0, 1} or {0, 1, 2}
  for _, class in ipairs(order) do
    local key = P .. 'd' .. class .. ':' .. mch
    local got = redis.call('ZRANGEBYSCORE', key, '-inf', int(now), 'WITHSCORES', 'LIMIT', skip[class], FAILURES + 1)
    for i = 1, #got, 2 do
      local n = #names + 1
      names[n], dues[n], classes[n] = got[i], tonumber(got[i + 1]), class
    end
  end
  if #names == 0 then return nil end
  local K = breaking()
  if K.may(L, flying, default) then
    local i = K.probe(L, names)
    return classes[i], names[i]
  end
  for i = 1, #names do
    if K.released(L, dues[i]) <= now then return classes[i], names[i] end
  end
  return nil
end

local function take()
  if stopped() or closed(L) then return HELD end
  local flying = inflight(L)
  while true do
    local class = turn()
    if not class then return IDLE end
    if flying + given >= cap(L, default) then return CAPPED end
    if tokens(L) < 0.999999 then return RATED end
    if given >= most then return MORE end
    local id
    if tight(L) then
      heads = {} -- looked up again: what goes need not be the head
      class, id = pick_tight(flying + given)
      if not id then return TIGHT end
    else
      id = heads[class][heads[class].at]
      heads[class].at = heads[class].at + 1
    end
    local raw = redis.call('GET', P .. 'n:' .. id)
    if raw and string.byte(raw, 1) > known then
      newer, skip[class] = newer + 1, skip[class] + 1
    else
      unwait(L, class, id)
      if raw then give(class, id, raw) end
    end
  end
end

local status = take()
if status == IDLE and L.br ~= '' then breaking().rest(L) end
local next_at
if status == MORE then
  put(L, 'aw', now + AWAKE)
  next_at = L.aw
else
  -- What only a newer node can read is due all the time: it is looked at again in a second.
  put(L, 'aw', (newer > 0 and status == IDLE) and now + 1000000 or 0)
  next_at = stopped() and NEVER or wake_at(L, default)
  out[3] = next_at < NEVER and next_at or 0
end
look_at(L, math.min(next_at, first_lease(L)))
save(L)
out[2], out[5] = status, newer
return out
