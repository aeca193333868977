# services.homelab-deploy.listener: takes deploy requests on this host.
{ config, lib, pkgs, ... }:

let
  inherit (lib) mkEnableOption mkIf mkOption optionals types;
  cfg = config.services.homelab-deploy.listener;
  unit = "homelab-deploy-listener";

  flag = name: value: [ "--${name}" (toString value) ];
  arguments =
    flag "hostname" cfg.hostname
    ++ flag "tier" cfg.tier
    ++ flag "nats-url" cfg.natsUrl
    ++ flag "nkey-file" cfg.nkeyFile
    ++ flag "flake-url" cfg.flakeUrl
    ++ flag "timeout" cfg.timeout
    ++ flag "discover-subject" cfg.discoverSubject
    ++ optionals (cfg.role != null) (flag "role" cfg.role)
    ++ builtins.concatMap (flag "deploy-subject") cfg.deploySubjects
    ++ optionals cfg.metrics.enable ([ "--metrics-enabled" ] ++ flag "metrics-addr" cfg.metrics.address)
    ++ builtins.concatMap (flag "pass-env") (builtins.attrNames cfg.environment)
    ++ cfg.extraArgs;

  # The last part of an address is its port.
  parts = builtins.filter builtins.isString (builtins.split ":" cfg.metrics.address);
  port = lib.toInt (builtins.elemAt parts (builtins.length parts - 1));
in
{
  options.services.homelab-deploy.listener = {
    enable = mkEnableOption "the homelab-deploy listener";

    package = mkOption {
      type = types.package;
      default = pkgs.homelab-deploy;
      description = "Package to use.";
    };

    hostname = mkOption {
      type = types.str;
      default = config.networking.hostName;
      description = "Hostname for the subject templates.";
    };

    tier = mkOption {
      type = types.enum [ "test" "prod" ];
      description = "Tier of this host.";
    };

    role = mkOption {
      type = types.nullOr types.str;
      default = null;
      description = "Role for role targeting.";
    };

    natsUrl = mkOption {
      type = types.str;
      example = "nats://nats.example.com:4222";
      description = "NATS servers, joined by commas.";
    };

    nkeyFile = mkOption {
      type = types.path;
      example = "/run/secrets/homelab-deploy-nkey";
      description = "File with the NKey seed. Not in the Nix store: everybody reads that.";
    };

    flakeUrl = mkOption {
      type = types.str;
      example = "git+https://git.example.com/user/nixos-configs.git";
      description = "Git flake URL, without ref and rev.";
    };

    timeout = mkOption {
      type = types.int;
      default = 600;
      description = "Seconds that a deploy may take.";
    };

    deploySubjects = mkOption {
      type = types.listOf types.str;
      default = [ "deploy.<tier>.<hostname>" "deploy.<tier>.all" "deploy.<tier>.role.<role>" ];
      description = "Subjects to take requests on; one with <role> is skipped where there is no role.";
    };

    discoverSubject = mkOption {
      type = types.str;
      default = "deploy.discover";
      description = "Subject of discovery.";
    };

    environment = mkOption {
      type = types.attrs;
      default = { };
      description = "Extra environment variables, for nixos-rebuild too.";
    };

    metrics = {
      enable = mkEnableOption "metrics over HTTP";

      address = mkOption {
        type = types.str;
        default = ":9972";
        description = "Where the metrics are served.";
      };

      openFirewall = mkOption {
        type = types.bool;
        default = false;
        description = "Open the port of the metrics.";
      };
    };

    extraArgs = mkOption {
      type = types.listOf types.str;
      default = [ ];
      description = "Further arguments of the listener.";
    };
  };

  config = mkIf cfg.enable {
    networking.firewall.allowedTCPPorts = optionals (cfg.metrics.enable && cfg.metrics.openFirewall) [ port ];

    systemd.services.${unit} = {
      description = "homelab-deploy listener";
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];

      # A deploy must not restart whoever reports it: it ends itself after the final status, when this unit has changed.
      restartIfChanged = false;
      stopIfChanged = false;

      path = [ config.nix.package pkgs.git pkgs.openssh pkgs.nixos-rebuild config.systemd.package pkgs.coreutils ];
      environment = cfg.environment // {
        HOMELAB_DEPLOY_UNIT_FILE = "/etc/systemd/system/${unit}.service";
      };

      serviceConfig = {
        ExecStart = lib.escapeShellArgs ([ "${cfg.package}/bin/homelab-deploy" "listener" ] ++ arguments);
        Restart = "always";
        RestartSec = 5;
        StateDirectory = "homelab-deploy";
        StateDirectoryMode = "0700";

        # Runs have units of their own, so that this one can be narrow. The keeper needs to become the user of the network
        # half, and systemd's bus to start runs; whoever may call systemd-run is root all the same.
        CapabilityBoundingSet = [ "CAP_SETUID" "CAP_SETGID" "CAP_KILL" "CAP_DAC_READ_SEARCH" ];
        LockPersonality = true;
        MemoryDenyWriteExecute = true;
        NoNewPrivileges = true;
        PrivateDevices = true;
        PrivateTmp = true;
        ProtectClock = true;
        ProtectControlGroups = true;
        ProtectHome = "read-only";
        ProtectHostname = true;
        ProtectKernelLogs = true;
        ProtectKernelModules = true;
        ProtectKernelTunables = true;
        ProtectSystem = "strict";
        RestrictAddressFamilies = [ "AF_INET" "AF_INET6" "AF_UNIX" ];
        RestrictNamespaces = true;
        RestrictRealtime = true;
        RestrictSUIDSGID = true;
        SystemCallArchitectures = "native";
        SystemCallFilter = [ "@system-service" "~@mount" ];
        UMask = "0077";
      };
    };
  };
}
