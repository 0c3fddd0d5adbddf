/** Completions for shells, made of the commands' own tables; places are asked of the client's daemon as they are needed. */
import type { CommandText } from './option-table.ts';

export type Shell = 'bash' | 'zsh' | 'fish';

/** Commands whose arguments are places, and options that name one. */
const PLACE_COMMANDS: readonly string[] = ['connect'];
const PLACE_OPTIONS: readonly string[] = ['via'];
/** Commands whose arguments are of a list that is known here. */
export type KnownWords = Readonly<Record<string, readonly string[]>>;

/** Prints the places, one a line; quickly, or nothing. */
const ASK_PLACES = 'sallyport completion places 2>/dev/null';

export function completionScript(shell: Shell, commands: readonly CommandText[], known: KnownWords): string {
  return { bash, zsh, fish }[shell](commands, known);
}

/** What may follow the first words: the next words of commands that begin with them. */
function nextWords(commands: readonly CommandText[]): Map<string, Map<string, string>> {
  const next = new Map<string, Map<string, string>>();
  for (const { name, summary } of commands) {
    const words = name.split(' ');
    for (let i = 0; i < words.length; i++) {
      const prefix = words.slice(0, i).join(' ');
      const word = words[i] ?? '';
      const isWhole = i === words.length - 1;
      const of = next.get(prefix) ?? new Map<string, string>();
      if (isWhole || !of.has(word)) of.set(word, isWhole ? summary : `${words.slice(0, i + 1).join(' ')} …`);
      next.set(prefix, of);
    }
  }
  return next;
}

function optionWords({ options }: CommandText): string[] {
  return [...options.map(({ name }) => `--${name}`), '--help'];
}

/** In single quotes, as all three shells read them. */
function quote(text: string): string {
  return `'${text.replaceAll('\\', '').replaceAll("'", '’')}'`;
}

function bash(commands: readonly CommandText[], known: KnownWords): string {
  const cases = commands.map(
    (command) => `    ${quote(command.name)}) options=${quote(optionWords(command).join(' '))} ;;`,
  );
  const next = [...nextWords(commands)].map(
    ([prefix, words]) => `    ${quote(prefix)}) words=${quote([...words.keys()].join(' '))} ;;`,
  );
  const lists = Object.entries(known).map(([name, words]) => `    ${quote(name)}) words=${quote(words.join(' '))} ;;`);
  return `# Completions of sallyport(1) for bash: eval "$(sallyport completion bash)"
_sallyport() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} command='' words='' options='' name i
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ \${COMP_WORDS[i]} == -* ]] && continue
    name="\${command:+$command }\${COMP_WORDS[i]}"
    case " $_sallyport_names " in *" \${name// /_} "* | *" \${name// /_}_"*) command=$name ;; *) break ;; esac
  done
  case $previous in
    ${PLACE_OPTIONS.map((option) => `--${option}`).join(' | ')}) COMPREPLY=($(compgen -W "$(${ASK_PLACES})" -- "$current")); return ;;
    *-file) compopt -o default; COMPREPLY=(); return ;;
  esac
  case $command in
${cases.join('\n')}
  esac
  case $command in
${next.join('\n')}
  esac
  case $command in
${lists.join('\n')}
    ${PLACE_COMMANDS.map(quote).join(' | ')}) words="fastest $(${ASK_PLACES})" ;;
  esac
  [[ $current == -* ]] && words=$options
  if [[ -z $words ]]; then compopt -o default; COMPREPLY=(); else COMPREPLY=($(compgen -W "$words" -- "$current")); fi
}
_sallyport_names=${quote(commands.map(({ name }) => name.replaceAll(' ', '_')).join(' '))}
complete -F _sallyport sallyport
`;
}

function zsh(commands: readonly CommandText[], known: KnownWords): string {
  // A colon parts a word from what it means.
  const described = (word: string, text: string): string => quote(`${word.replaceAll(':', '\\:')}:${text}`);
  const next = [...nextWords(commands)].map(
    ([prefix, words]) =>
      `    ${quote(prefix)}) list=(${[...words].map(([word, text]) => described(word, text)).join(' ')}) ;;`,
  );
  const options = commands.map(
    ({ name, options: rows }) =>
      `    ${quote(name)}) list=(${[...rows.map((row) => described(`--${row.name}`, row.text)), described('--help', 'tell more')].join(' ')}) ;;`,
  );
  const lists = Object.entries(known).map(
    ([name, words]) => `    ${quote(name)}) list=(${words.map(quote).join(' ')}) ;;`,
  );
  return `#compdef sallyport
# Completions of sallyport(1) for zsh: sallyport completion zsh > "\${fpath[1]}/_sallyport"
_sallyport() {
  local command='' name i
  local -a list
  local names=${quote(` ${commands.map(({ name }) => name.replaceAll(' ', '_')).join(' ')} `)}
  for ((i = 2; i < CURRENT; i++)); do
    [[ $words[i] == -* ]] && continue
    name="\${command:+$command }$words[i]"
    if [[ $names == *" \${name// /_} "* || $names == *" \${name// /_}_"* ]]; then command=$name; else break; fi
  done
  case $words[CURRENT-1] in
    ${PLACE_OPTIONS.map((option) => `--${option}`).join('|')}) list=(\${(f)"$(${ASK_PLACES})"}); compadd -a list; return ;;
    *-file) _files; return ;;
  esac
  if [[ $words[CURRENT] == -* ]]; then
    case $command in
${options.join('\n')}
    esac
    _describe option list
    return
  fi
  case $command in
${next.join('\n')}
  esac
  case $command in
${lists.join('\n')}
    ${PLACE_COMMANDS.map(quote).join('|')}) list=(fastest \${(f)"$(${ASK_PLACES})"}) ;;
  esac
  if (( $#list )); then _describe command list; else _files; fi
}
if [[ $funcstack[1] == _sallyport ]]; then _sallyport "$@"; else compdef _sallyport sallyport; fi
`;
}

function fish(commands: readonly CommandText[], known: KnownWords): string {
  const at = (name: string): string => `-n ${quote(`__sallyport_at ${name}`)}`;
  const lines = [...nextWords(commands)].flatMap(([prefix, words]) =>
    [...words].map(([word, text]) => `complete -c sallyport ${at(prefix)} -f -a ${quote(word)} -d ${quote(text)}`),
  );
  for (const { name, options } of commands) {
    for (const { name: option, value, text } of options) {
      const isPlace = PLACE_OPTIONS.includes(option);
      const takes = value === undefined ? '' : isPlace ? ` -x -a ${quote(`(${ASK_PLACES})`)}` : ' -r';
      lines.push(`complete -c sallyport ${at(name)} -l ${option}${takes} -d ${quote(text)}`);
    }
  }
  for (const [name, words] of Object.entries(known))
    lines.push(`complete -c sallyport ${at(name)} -f -a ${quote(words.join(' '))}`);
  for (const name of PLACE_COMMANDS)
    lines.push(`complete -c sallyport ${at(name)} -f -a ${quote(`fastest (${ASK_PLACES})`)}`);
  return `# Completions of sallyport(1) for fish: sallyport completion fish > ~/.config/fish/completions/sallyport.fish
set -g __sallyport_names ${commands.map(({ name }) => quote(name)).join(' ')}
function __sallyport_at
  set -l command
  for word in (commandline -opc)[2..]
    string match -q -- '-*' $word; and continue
    set -l name (string join ' ' $command $word)
    if contains -- $name $__sallyport_names; or string match -q -- "$name *" $__sallyport_names
      set -a command $word
    else
      break
    end
  end
  test "$command" = "$argv"
end
${lines.join('\n')}
`;
}
