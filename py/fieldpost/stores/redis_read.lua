-- One look at the store. ARGV[1]: which one; ARGV[2]: what it is told, as JSON. A row is answered
-- as its fixed columns, its other columns and the parts asked for, none for one that is not there.
local told = cjson.decode(ARGV[2])

local function one(id)
  local found = call('HMGET', P .. ':i:' .. id, 'f', 'c', unpack(told.parts or {}))
  return found[1] and found
end

local function rows(members)
  local found = {}
  for at, member in ipairs(members) do
    found[at] = one(id_of(member))
  end
  return found
end

local looks = {}

function looks.get()
  local found = {}
  for _, id in ipairs(told.ids) do
    local row = one(id)
    if row then
      found[#found + 1] = row
    end
  end
  return found
end

function looks.ready()
  return rows(first(P .. ':r:' .. told.lane, told.limit))
end

-- From level to level: a level's crowd is skipped, not read.
function looks.ready_keys()
  local key, found, level = P .. ':r:' .. told.lane, {}, '-inf'
  local by = told.newest and 'ZREVRANGEBYSCORE' or 'ZRANGEBYSCORE'
  while told.per_level > 0 do
    local next_one = call('ZRANGEBYSCORE', key, level, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if #next_one == 0 then
      break
    end
    level = next_one[2]
    for _, member in ipairs(call(by, key, level, level, 'LIMIT', 0, told.per_level)) do
      found[#found + 1] = {level, member}
    end
    level = '(' .. level
  end
  return found
end

-- Due now, then those whose retry lies too far ahead: none of these is among the first.
function looks.waiting()
  local limit = told.limit
  local due = call('ZRANGEBYSCORE', P .. ':w:' .. told.lane, '-inf', told.now, 'LIMIT', 0, limit)
  if #due < limit then
    local far = call('ZRANGEBYSCORE', P .. ':d:' .. told.lane, '(' .. told.far, '+inf', 'LIMIT', 0,
      limit - #due)
    for _, member in ipairs(far) do
      due[#due + 1] = member
    end
  end
  return rows(due)
end

function looks.lines()
  local found = {}
  for at, key in ipairs(told.keys) do
    found[at] = rows(first(P .. key, told.size))
  end
  return found
end

function looks.expired()
  local found = {}
  for _, key in ipairs(told.keys) do
    local late = call('ZRANGEBYSCORE', P .. key, '-inf', told.now, 'LIMIT', 0, told.limit - #found)
    for _, member in ipairs(late) do
      found[#found + 1] = member
    end
  end
  return rows(found)
end

-- The rows of the page, then whether there are more.
function looks.page()
  local members = {}
  for _, key in ipairs(told.keys) do
    local run
    if told.newest then
      run = call('ZREVRANGEBYSCORE', P .. key, told.beyond, '-inf', 'LIMIT', 0, told.limit + 1)
    else
      run = call('ZRANGEBYSCORE', P .. key, told.beyond, '+inf', 'LIMIT', 0, told.limit + 1)
    end
    for _, member in ipairs(run) do
      members[#members + 1] = member
    end
  end
  if told.newest then
    table.sort(members, function(a, b) return a > b end)
  else
    table.sort(members)
  end
  local shown = {}
  for at = 1, math.min(#members, told.limit) do
    shown[at] = members[at]
  end
  return {rows(shown), #members > told.limit and 1 or 0}
end

function looks.find()
  return marked(P .. told.key, told.by_sequence, '-inf', '+inf', told.limit)
end

function looks.heads()
  local found = {}
  for at, writer in ipairs(call('ZREVRANGE', P .. ':heads', 0, HEADS_MAX - 1)) do
    found[at] = {writer, call('HGET', P .. ':head', writer)}
  end
  return found
end

function looks.captures()
  local found = {}
  local members = call('ZRANGEBYSCORE', P .. ':inbox', '(' .. told.after, '+inf', 'WITHSCORES',
    'LIMIT', 0, told.limit)
  for at = 1, #members, 2 do
    local id = members[at]
    local stored = call('HMGET', P .. ':c:' .. id, 'at', 'data')
    found[#found + 1] = {members[at + 1], id, stored[1], stored[2]}
  end
  return found
end

return looks[ARGV[1]]()
