/* shale completion: scripts that hand the words to `shale __complete` and show what it answers. */
#include "base/num.h"
#include "cli/cmd.h"

static const char bash[] =
    "# Completion of shale for bash. Made by: shale completion bash\n"
    "_shale() {\n"
    "    local line=${COMP_LINE:0:COMP_POINT} reply cur tail\n"
    "    local -a words\n"
    "    # bash cuts words at : and =; the program wants them whole.\n"
    "    read -ra words <<< \"$line\"\n"
    "    [[ $line == *[[:space:]] ]] && words+=(\"\")\n"
    "    cur=${words[${#words[@]}-1]}\n"
    "    tail=${cur##*[:=]}\n"
    "    COMPREPLY=()\n"
    "    while IFS=$'\\t' read -r reply _; do\n"
    "        case $reply in\n"
    "        :files) compopt -o filenames; COMPREPLY+=($(IFS=$'\\n'; compgen -f -- \"$tail\")) ;;\n"
    "        :folders) compopt -o filenames; COMPREPLY+=($(IFS=$'\\n'; compgen -d -- \"$tail\")) "
    ";;\n"
    "        *)\n"
    "            [[ $reply == *= ]] && compopt -o nospace\n"
    "            COMPREPLY+=(\"$(printf %q \"${reply:${#cur}-${#tail}}\")\")\n"
    "            ;;\n"
    "        esac\n"
    "    done < <(\"${words[0]}\" __complete \"${words[@]:1}\" 2>/dev/null)\n"
    "}\n"
    "complete -F _shale shale\n";

static const char zsh[] =
    "#compdef shale\n"
    "# Completion of shale for zsh. Made by: shale completion zsh\n"
    "_shale() {\n"
    "    local line word what\n"
    "    local -a plain open\n"
    "    for line in ${(f)\"$(\"${words[1]}\" __complete \"${(@Q)words[2,CURRENT]}\" "
    "2>/dev/null)\"}; do\n"
    "        word=${line%%$'\\t'*}\n"
    "        what=${line#*$'\\t'}\n"
    "        case $word in\n"
    "        :files) _files ;;\n"
    "        :folders) _files -/ ;;\n"
    "        *=) open+=(\"${word//:/\\\\:}:$what\") ;;\n"
    "        *) plain+=(\"${word//:/\\\\:}:$what\") ;;\n"
    "        esac\n"
    "    done\n"
    "    (( ${#plain} )) && _describe -t words word plain\n"
    "    (( ${#open} )) && _describe -t settings setting open -S ''\n"
    "}\n"
    "if [ \"$funcstack[1]\" = _shale ]; then _shale \"$@\"; else compdef _shale shale; fi\n";

static const char fish[] =
    "# Completion of shale for fish. Made by: shale completion fish\n"
    "function __shale_complete\n"
    "    set -l words (commandline -opc) (commandline -ct)\n"
    "    for line in (command $words[1] __complete $words[2..-1] 2>/dev/null)\n"
    "        switch $line\n"
    "            case ':files'\n"
    "                __fish_complete_path $words[-1]\n"
    "            case ':folders'\n"
    "                __fish_complete_directories $words[-1]\n"
    "            case '*'\n"
    "                echo $line\n"
    "        end\n"
    "    end\n"
    "end\n"
    "complete -c shale -f -a '(__shale_complete)'\n";

int cmd_completion(struct cli *c)
{
    static const struct {
        const char *shell;
        const char *script;
    } scripts[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
    struct cli_near near = {0};
    char text[CLI_NEAR_TEXT];
    const char *shell = c->args.positional[0];
    for (size_t i = 0; i < SHL_COUNT_OF(scripts); i++) {
        if (strcmp(scripts[i].shell, shell) == 0) {
            out_text(c->out, scripts[i].script);
            return CLI_YES;
        }
        cli_near_offer(&near, shl_slice_str(shell), scripts[i].shell);
    }
    return cli_usage(c, "shale completion bash", "unknown shell \"%.60s\"%s", shell,
                     near.names[0] != NULL ? cli_near_text(&near, "", text)
                                           : ": known are bash, zsh, fish");
}
