# As much of nixpkgs' lib as the module needs, and an evaluation with types: an unknown option, a wrong type and a missing
# required option are refused, each once.
rec {
  types = rec {
    str = { name = "str"; check = builtins.isString; };
    bool = { name = "bool"; check = builtins.isBool; };
    int = { name = "int"; check = builtins.isInt; };
    attrs = { name = "attrs"; check = builtins.isAttrs; };
    path = { name = "path"; check = value: builtins.isPath value || (builtins.isString value && builtins.substring 0 1 value == "/"); };
    package = { name = "package"; check = value: builtins.isString value || builtins.isPath value || value ? outPath; };
    enum = values: { name = "enum"; check = value: builtins.elem value values; };
    nullOr = inner: { name = "nullOr ${inner.name}"; check = value: value == null || inner.check value; };
    listOf = inner: { name = "listOf ${inner.name}"; check = value: builtins.isList value && builtins.all inner.check value; };
  };

  mkOption = option: option // { _type = "option"; };
  mkEnableOption = what: mkOption { type = types.bool; default = false; description = "Whether to enable ${what}."; };
  mkIf = condition: content: { _type = "if"; inherit condition content; };
  mkDefault = value: value;
  optionals = condition: list: if condition then list else [ ];
  toInt = text: builtins.fromJSON text;
  escapeShellArgs = builtins.concatStringsSep " ";

  isOption = value: value._type or "" == "option";

  # The values of a tree of options, from what is set.
  values = at: options: set:
    let
      unknown = builtins.filter (name: !(options ? ${name})) (builtins.attrNames set);
      one = name: option:
        let
          place = "${at}.${name}";
          value =
            if set ? ${name} then set.${name}
            else option.default or (throw "${place} is required");
        in
        if !isOption option then values place option (set.${name} or { })
        else if option.type.check value then value
        else throw "${place} is not of type ${option.type.name}";
    in
    if unknown != [ ] then throw "unknown option ${at}.${builtins.head unknown}"
    else builtins.mapAttrs one options;

  # What the module makes of settings.
  evaluate = { module, settings, config ? { }, pkgs }:
    let
      made = (import module) {
        inherit pkgs;
        lib = { inherit types mkOption mkEnableOption mkIf mkDefault optionals toInt escapeShellArgs; };
        config = config // {
          services.homelab-deploy.listener = values "listener" made.options.services.homelab-deploy.listener settings;
        };
      };
    in
    {
      options = made.options.services.homelab-deploy.listener;
      values = values "listener" made.options.services.homelab-deploy.listener settings;
      config = if made.config.condition then made.config.content else { };
    };
}
