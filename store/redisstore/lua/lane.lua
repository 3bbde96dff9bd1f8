-- What scripts know about the lane of a merchant; package redisstore's doc comment says what lies where. It
-- stands in front of every script but the two that run for every notification: these have it inside a
-- function, cold, because to define these functions costs as much as what they do.

local function int(x) return string.format('%.0f', x) end

-- emptied ends a script when somebody has emptied the shard.
local function emptied()
  if redis.call('EXISTS', P .. 'meta') == 0 then
    return redis.error_reply('PNEMPTY the store was emptied: the keys of ' .. P .. ' are gone')
  end
end

local function stopped() return redis.call('EXISTS', P .. 'stop') == 1 end

-- free says whether nothing limits the lane but its cap; the hot scripts read that alone.
local function free(L) return not (L.dl or L.bl or L.pz or L.rt > 0 or L.br ~= '') and '1' or '0' end

-- tight says whether less is sent than the lane's settings allow: its breaker is open, or its level is not 0.
-- The field br is empty for a lane that is well: open (1 or 0), level, next probe, wait, since, names of the
-- failed; see breaking.
local function tight(L) return L.br ~= '' and string.sub(L.br, 1, 4) ~= '0,0,' end

-- lane reads the lane of a merchant, nil when there never was one. put changes a field, save writes what was
-- changed.
local function lane(mch)
  local key = P .. 'l:' .. mch
  local v = redis.call('HMGET', key, 'rv', 'mx', 'rt', 'pz', 'un', 'bl', 'dl', 'tk', 'ta', 'tn', 'aw', 'la',
    'at', 'wt', 'fa', 'pt', 'br')
  if not v[1] then return nil end
  local function num(i) return tonumber(v[i] or '') or 0 end
  return {
    mch = mch, key = key, new = {}, rv = num(1), mx = num(2), rt = num(3), pz = v[4] == '1', un = num(5),
    bl = v[6] == '1', dl = v[7] == '1', tk = num(8), ta = num(9), tn = num(10), aw = num(11), la = num(12),
    at = tonumber(v[13] or '') or NEVER, wt = num(14), fa = v[15], pt = v[16] or '',
    br = v[17] or '',
  }
end

local function put(L, field, value, text)
  L[field] = value
  L.new[field] = text or int(value)
end

local function save(L)
  local args = {}
  for field, text in pairs(L.new) do
    args[#args + 1], args[#args + 2] = field, text
  end
  if #args > 0 then redis.call('HSET', L.key, unpack(args)) end
  L.new = {}
end

local function paused(L) return L.pz and (L.un == 0 or now < L.un) end
local function closed(L) return L.bl or paused(L) end

-- inflight is how many claims of the lane are live, over all nodes.
local function inflight(L) return redis.call('ZCARD', P .. 'c:' .. L.mch) end
local function cap(L, default) return L.mx > 0 and L.mx or default end

-- tokens is how many claims the lane's rate allows now. When the clock was set back, what is there stays.
local function tokens(L)
  if L.rt <= 0 then return NEVER end
  return math.min(math.max(1, L.rt), L.tk + math.max(0, now - L.ta) / 1e6 * L.rt)
end

local function spend(L)
  if L.rt > 0 then
    put(L, 'tk', tokens(L) - 1, string.format('%.6f', tokens(L) - 1))
    put(L, 'ta', now)
  end
end

-- breaking is what there is to do with the breaker of a lane: the port of store.Breaker. It is one function, so
-- that what hardly any lane needs costs the others nothing.
local function breaking()
  local M = {}

  -- read takes the field apart, once.
  local function read(L)
    if L.B then return L.B end
    L.B = {op = false, lv = 0, pa = 0, wt = 0, si = 0, ids = {}}
    if L.br ~= '' then
      local op, lv, pa, wt, si, names = string.match(L.br, '^(%d),(%d+),(%d+),(%d+),(%d+),(.*)$')
      local B = L.B
      B.op, B.lv, B.pa, B.wt, B.si = op == '1', tonumber(lv), tonumber(pa), tonumber(wt), tonumber(si)
      for name in string.gmatch(names, '%w+') do B.ids[#B.ids + 1] = name end
    end
    return L.B
  end

  -- write puts it back; empty again when there is nothing to remember.
  local function write(L)
    local B, text = read(L), ''
    if B.lv > 0 or B.op or B.si > 0 then
      text = table.concat({B.op and '1' or '0', int(B.lv), int(B.pa), int(B.wt), int(B.si),
        table.concat(B.ids, ' ')}, ',')
    end
    if text == L.br then return end
    put(L, 'br', text, text)
    put(L, 'fr', free(L), free(L))
  end

  function M.open(L) return read(L).op end

  -- judge lets the breaker learn from an attempt: acked, failed by timeout or connection, or answered.
  function M.judge(L, id, how)
    local B = read(L)
    if how == 'acked' then
      B.lv, B.ids, B.op, B.wt = math.max(0, B.lv - 1), {}, false, 0
    elseif how == 'answered' then
      B.op, B.wt = false, 0
    else
      B.lv = math.min(B.lv + 1, 10)
      if B.si == 0 then B.si = now end
      for i, name in ipairs(B.ids) do
        if name == id then
          table.remove(B.ids, i)
          break
        end
      end
      B.ids[#B.ids + 1] = id
      if #B.ids > FAILURES then table.remove(B.ids, 1) end
      if #B.ids >= FAILURES and not (B.op and now < B.pa) then
        B.op, B.wt = true, math.min(math.max(2 * B.wt, 5000000), 60000000)
        B.pa = now + B.wt
      end
    end
    write(L)
  end

  local function small_cap(L, full)
    local B = read(L)
    return B.op and 1 or math.max(1, math.floor(full / 2 ^ B.lv))
  end

  -- may says whether a send may start that has not been held back too long; released is when one that is due
  -- at an instant goes in spite of all.
  function M.may(L, flying, default)
    local B = read(L)
    return flying < small_cap(L, cap(L, default)) and not (B.op and now < B.pa)
  end
  function M.released(L, due) return math.max(due, read(L).si) + DELAY end

  -- at is when the first of the lane's notifications, due at an instant, may go.
  function M.at(L, due, flying, default)
    local B, at = read(L), M.released(L, due)
    if flying >= small_cap(L, cap(L, default)) then return at end
    return math.min(at, math.max(due, B.op and B.pa or 0))
  end

  -- probe picks among names that are due, in lane order: one that has not just failed, or at least not the last
  -- that did.
  function M.probe(L, names)
    local B = read(L)
    if not B.op or #B.ids == 0 then return 1 end
    local failed, last, other = {}, B.ids[#B.ids], 1
    for _, name in ipairs(B.ids) do failed[name] = true end
    for i, name in ipairs(names) do
      if not failed[name] then return i end
      if names[other] == last and name ~= last then other = i end
    end
    return other
  end

  -- rest forgets since when sends were held back: nothing is due in the lane.
  function M.rest(L)
    if tight(L) then return end
    read(L).si = 0
    write(L)
  end

  return M
end

local function first(key)
  local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return head[2] and tonumber(head[2]) or NEVER
end

-- earliest is when the first waiting notification is due.
local function earliest(L)
  if L.wt <= 0 then return NEVER end
  local at = NEVER
  for class = 0, 2 do at = math.min(at, first(P .. 'd' .. class .. ':' .. L.mch)) end
  return at
end

local function first_lease(L) return first(P .. 'c:' .. L.mch) end

-- wake_at is when the lane has work that nobody is awake for; now or earlier means now.
local function wake_at(L, default)
  if L.dl or L.bl or L.wt <= 0 or (L.pz and L.un == 0) then return NEVER end
  local due, flying = earliest(L), inflight(L)
  local at = due
  if at == NEVER or flying >= cap(L, default) then return NEVER end
  if paused(L) then at = math.max(at, L.un) end
  if tight(L) then at = math.max(at, breaking().at(L, due, flying, default)) end
  local free = tokens(L)
  if free < 0.999999 then at = math.max(at, now + math.ceil((1 - free) * 1e6 / L.rt)) end
  return math.max(at, L.aw)
end

-- look has Wakes look at the lane at an instant, or earlier; look_at exactly then.
local function look_at(L, at)
  if at == L.at then return end
  if at >= NEVER then
    redis.call('ZREM', P .. 'lanes', L.mch)
    put(L, 'at', NEVER, '')
  else
    redis.call('ZADD', P .. 'lanes', int(at), L.mch)
    put(L, 'at', at)
  end
end

local function look(L, at)
  if at < L.at then look_at(L, at) end
end

-- wait and unwait put a notification into a due set and take it out.
local function wait(L, class, id, due)
  local added = redis.call('ZADD', P .. 'd' .. class .. ':' .. L.mch, due, id)
  if added == 1 then put(L, 'wt', L.wt + 1) end
end

local function unwait(L, class, id)
  local gone = redis.call('ZREM', P .. 'd' .. class .. ':' .. L.mch, id)
  if gone == 1 then put(L, 'wt', L.wt - 1) end
end

-- newest remembers that no notification of the lane is later than a second after this one.
local function newest(L, us)
  if us > L.la then put(L, 'la', us + 1000000) end
end

-- list puts a notification into a partition of the lane's list.
local function list(L, part, id, created)
  redis.call('ZADD', P .. 't:' .. L.mch .. ':' .. part, created, id)
  if not string.find(L.pt, part .. ',', 1, true) then put(L, 'pt', L.pt .. part .. ',', L.pt .. part .. ',') end
end
