#compdef perch
# Completion of perch in zsh: source <(perch completion zsh), after compinit
_perch() {
  local line
  local -a names
  while IFS= read -r line; do
    if [[ $line == :files ]]; then
      _files
      return
    fi
    names+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
  done < <(${~words[1]} __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
  _describe perch names
}
compdef _perch perch
