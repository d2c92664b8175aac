#!/usr/bin/env bash
# Runs examples/psql and examples/shop on a server created for this, without a provider and with a real one (llm.sh), and
# checks the output; then checks the errors of a real provider, and that cancellations reach it. Ragstone must be installed.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

folder=$(mktemp --directory)
chmod 755 "$folder"
clean_up() {
  "$here/llm.sh" stop "$folder/llm"
  "$here/cluster.sh" stop "$folder" && rm -rf "$(readlink --canonicalize "$folder/cluster")" "$folder"
}
trap clean_up EXIT
exports=$("$here/llm.sh" start "$folder/llm")
eval "$exports"
exports=$("$here/cluster.sh" start "$folder" fsync=off)
eval "$exports"

log=$folder/llm/log
. "$here/checks.sh"
provider=(--set=url="$RAGSTONE_LLM_URL" --set=key="$RAGSTONE_LLM_KEY")

# usage: example name [psql's arguments...]
example() { file "examples/psql/$1.sql" "${@:2}"; }

# usage: refused sqlstate perl-expression statement
refused() {
  ! run --command="$3" && shows "ERROR:  $1: " && shows "$2" && ! grep --quiet --fixed-strings "$RAGSTONE_LLM_KEY" "$out"
}

# Number of times that the words occur in the provider's log. usage: logged words
logged() { grep --count --fixed-strings "$1" "$log" || true; }

# Waits until the provider's log has more occurrences: the provider checks once a second whether its client is still
# connected. usage: logged_more_often_than number words
logged_more_often_than() {
  local deadline=$((SECONDS + 10))
  until (($(logged "$2") > $1)); do
    ((SECONDS < deadline)) || return 1
    sleep 0.1
  done
}

# Number of different times at which pieces arrived.
moments() { sed -n 's/.*|\([0-9][0-9]\.[0-9]*\)$/\1/p' "$out" | sort --unique | wc --lines; }

# Duration of the statement, whose timeout is 300 ms, in ms.
delay() { sed -n 's/^Time: \([0-9]*\).*/\1/p' "$out"; }

without_a_provider() {
  example ask
  check "the answer is quoted and cited" shows '\nA reader may borrow ten books for four weeks\. \[1\]\|local/extractive\n'
  check "a citation has its row" shows '\n1\|Fees\|\{"id": 3\}\|A book that comes late'
  check "a question outside the collection has no answer" shows '\nf\|The collection does not answer this question\.\n'
  example jobs
  check "a job answers" shows '^answer\nThe library is open'
  example chat
  check "a conversation quotes the collection" shows 'answer\nA reader may borrow ten books for four weeks\. \[1\]\n'
  check "the conversation is stored" shows '\nAt the desk\|user\|How many.*\nAt the desk\|assistant\|A reader'
  check "the feedback is stored" shows '\n1\|short and right\|A reader'
  check "no provider was called" test "$(value 'SELECT count(*) FROM rag.calls')" = 0
}

# 300 of Debian's packages as products, from psql and from Django.
shop() {
  local python
  compgen -G '/var/lib/apt/lists/*_main_binary-*_Packages*' >/dev/null || as_root apt-get update -qq
  cd "$root"
  export SHOP_PRODUCTS=300
  file examples/shop/shop.sql
  check "every product is there" test "$(value 'SELECT count(*) FROM products')" = 300
  check "a search finds products" shows '\nrank\|name\|title\|similarity\n1\||^rank\|name\|title\|similarity\n1\|'
  check "dates are compared" shows '\nrecent\n(t|)\n'
  check "pages go on where the last one ended" shows '(?s)\nrank\|name\n6\|.*\nrank\|name\n11\|'
  check "a facet has the numbers of GROUP BY" test "$(value "SELECT count(*) FROM (
      SELECT value #>> '{}', rows FROM rag.facets('products', columns => '{section}', k => 100)
      EXCEPT SELECT section, count(*) FROM products GROUP BY section) AS different")" = 0
  check "a count has the rows of WHERE" test "$(value "SELECT rag.count('products', filter => '{\"price\": {\"\$lt\": 5}}') = count(*)
      FROM products WHERE price < 5")" = t
  python=$("$here/venv.sh" django-python "$root/examples/django/requirements.txt")
  check "Django searches the shop" kept env PYTHONPATH="$root/examples/django" "$python" examples/shop/shop.py a library for images
  check "its pages have different products" test "$(sed -n 's/^page [12]: //p' "$out" | sort --unique | wc --lines)" = 10
  check "its facets have numbers" shows '\nsection \w+: [1-9]'
}

with_a_provider() {
  local cancelled
  example generate "${provider[@]}"
  check "the model answers" shows '\nanswer\n(?!\(0 rows)[^\n]*\w'
  check "it answers a conversation" shows '\nconversation\n(?!\(0 rows)[^\n]*\w'
  check "tokens are counted" shows '\|(stop|length)\|[1-9]\d*\|[1-9]\d*\|\d+\n\(1 row'
  check "every prompt is answered" shows '(?s)\n1\|.+\n2\|.+\n3\|.+\n\(3 rows\)'
  check "a call that takes too long gives NULL" shows '\nnothing\nt\n'

  cancelled=$(logged 'cancel task')
  example stream "${provider[@]}"
  check "pieces are fetched as they are asked for" shows '(?s)\(1 row\).*\(5 rows\).*\(\d+ rows\).*\(3 rows\)'
  check "pieces come one after the other" test "$(moments)" -ge 5
  check "a closed cursor ends the call" logged_more_often_than "$cancelled" 'cancel task'

  example structured "${provider[@]}"
  check "the answer meets the schema" shows '\n\{"age": \d{1,3}, "city": "[^"]{0,20}", "name": "[^"]{0,20}"\}\n'
  check "rows of text become rows of columns" shows '\n1\|[^|\n]*\|\d+\|[^|\n]*\n2\|[^|\n]*\|\d+\|[^|\n]*\n\(2 rows'

  example ask "${provider[@]}"
  check "the model answers from the collection" shows '(?s)\nanswer\|model\n.*\w.*\|example/smollm2\n\(1 row'
  check "no provider is asked a question outside the collection" shows '\nf\|The collection does not answer this question\.\n'

  example chat "${provider[@]}"
  check "a follow-up question is rewritten before the search" shows '\nsearched_for\n(?!\(0 rows)[^\n]*\w'
  check "a persona answers" shows '(?s)\nreply\|persona\n.*\w.*\|librarian 1\n'
  check "its answer is streamed" shows '(?s)\npiece\n.*\n\([1-9]\d* rows\)'
  check "the streamed answer is stored" shows '(?s)\nSmall talk\|user\|What do I like\?\nSmall talk\|assistant\|.*\w'

  cancelled=$(logged 'cancel task')
  example jobs "${provider[@]}"
  check "a job's pieces are its result" shows '\npieces_are_the_result\nt\n'
  check "a job is cancelled" shows '(?s)\ncancelled\nt\n.*\ngenerate\|cancelled\|1\|57014\n'
  check "its call is cancelled" logged_more_often_than "$cancelled" 'cancel task'
}

# Errors of a real provider, as opposed to those of a stub.
refusals() {
  local unauthorized
  printf '\n--- refusals\n'
  value "SELECT rag.create_provider('wrong_key', kind => 'compatible', base_url => '$RAGSTONE_LLM_URL', api_key => 'wrong', model => 'smollm2')" >/dev/null
  value "SELECT rag.create_provider('wrong_path', kind => 'compatible', base_url => '${RAGSTONE_LLM_URL%/v1}/v2', model => 'smollm2',
                                    api_key => '$RAGSTONE_LLM_KEY')" >/dev/null
  unauthorized=$(logged 'Invalid API Key')
  check "a wrong key is refused" refused 38000 '(?s)status 401.*HINT:.*api_key' "SELECT rag.generate('hello', model => 'wrong_key')"
  check "the provider has seen the wrong key" logged_more_often_than "$unauthorized" 'Invalid API Key'
  check "a stream with a wrong key is refused" refused 38000 'status 401' "SELECT rag.stream('hello', model => 'wrong_key')"
  check "an unknown path is refused" refused 38000 '(?s)status 404.*HINT:.*base_url' "SELECT rag.generate('hello', model => 'wrong_path')"
  check "too long a prompt is refused" refused 54000 'shorter prompt' "SELECT rag.generate(repeat('words ', 3000), model => 'example')"
  check "an unsupported request is refused" refused 38000 'status 501' "SELECT rag.embed('hello', model => 'example/smollm2')"
}

cancellations() {
  local cancelled
  printf '\n--- cancellations\n'
  cancelled=$(logged 'cancel task')
  check "a timeout ends a call" timed_out
  check "the timeout ends the call in time ($(delay) ms)" test "$(delay)" -lt 1000
  check "the provider stops as well" logged_more_often_than "$cancelled" 'cancel task'
  check "the next call is answered" run --command="SELECT rag.generate('Say hello.', model => 'example', temperature => 0, max_tokens => 4) AS answer"
  check "the answer has text" shows '\w.*\n\(1 row'
}

timed_out() {
  ! run --command="SET statement_timeout = '300ms'" --command='\timing on' \
    --command="SELECT rag.generate('Write a long novel.', model => 'example', temperature => 0, max_tokens => 1500)" && shows 'ERROR:  57014: '
}

# The provider ends in the middle of an answer, and is unavailable afterwards.
losses() {
  local reader
  printf '\n--- losses\n'
  "${psql[@]}" --set=FETCH_COUNT=1 --command="SELECT rag.stream('Write a long novel.', model => 'example', temperature => 0, max_tokens => 1500)" \
    >"$out" 2>&1 &
  reader=$!
  until (($(wc --lines <"$out") > 4)) || ! kill -0 "$reader" 2>/dev/null; do sleep 0.1; done
  "$here/llm.sh" stop "$folder/llm"
  check "an answer that breaks off is an error" broke_off "$reader"
  check "an unreachable provider is an error" refused 08001 '(?s)connection refused.*HINT:.*base_url' "SELECT rag.generate('hello', model => 'example')"
}

broke_off() { ! wait "$1" && tail --lines 5 "$out" && shows '(?s)\w.*ERROR:  08006: .*broke off'; }

account() {
  local answered
  printf '\n--- account\n'
  answered=$(value "SELECT count(*) FROM rag.calls WHERE server = 'example' AND status = 'answered'")
  check "calls are accounted for ($answered)" test "$answered" -ge 12
  check "the provider has served them all ($(logged 'processing task'))" test "$(logged 'processing task')" -ge "$answered"
  check "no key is in a log" test -z "$(grep --fixed-strings "$RAGSTONE_LLM_KEY" "$folder/cluster/log" "$log")"
}

without_a_provider
shop
with_a_provider
refusals
cancellations
losses
account
verdict
