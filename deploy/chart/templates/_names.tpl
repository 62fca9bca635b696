{{/* Labels of an object of a component: dict "root" $ "component" "agent". */}}
{{- define "vmsnapshot.labels" -}}
app.kubernetes.io/name: vmsnapshot-{{ .component }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: vmsnapshot-operator
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- end }}

{{/* What selects the Pods of a component; never changes. */}}
{{- define "vmsnapshot.selector" -}}
app.kubernetes.io/name: vmsnapshot-{{ .component }}
{{- end }}

{{- define "vmsnapshot.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Environment from a map of settings: the name of a flag in capitals, as src/config.ts has it. An empty one is not set. */}}
{{- define "vmsnapshot.settings" -}}
{{- range $name, $value := . -}}
{{- if ne (toString $value) "" }}
- name: {{ $name | snakecase | upper }}
  value: {{ toString $value | quote }}
{{- end -}}
{{- end -}}
{{- end }}

{{/*
The directory to mount for one that may be mounted anew on the host: its parent. dict "name" (of the value) "path".
Refuses a parent that holds the system: the Pod would get all of it, and the mount would hide what the Pod itself needs.
*/}}
{{- define "vmsnapshot.parent" -}}
{{- $parent := dir .path -}}
{{- $system := list "/bin" "/boot" "/dev" "/etc" "/lib" "/lib64" "/nodejs" "/proc" "/root" "/run" "/sbin" "/sys" "/tmp" "/usr" "/var" "/var/lib" "/var/lib/kubelet" "/var/log" "/var/run" -}}
{{- if has $parent $system -}}
{{- fail (printf "%s: the parent of %s is mounted into the Pod, and %s is a directory of the system; put it into a directory of its own, such as %s/vmsnapshot/%s" .name .path $parent $parent (base .path)) -}}
{{- end -}}
{{- range $top := list "/app" "/dev" "/nodejs" "/proc" "/run/secrets" "/sys" "/var/run" -}}
{{- if or (eq $parent $top) (hasPrefix (printf "%s/" $top) $parent) -}}
{{- fail (printf "%s: nothing below %s can be mounted" $.name $top) -}}
{{- end -}}
{{- end -}}
{{- $parent -}}
{{- end }}

{{/* What a Pod that serves metrics may exchange: dict "root" $ "port" (of metrics). */}}
{{- define "vmsnapshot.traffic" -}}
policyTypes: [Ingress, Egress]
ingress:
  - ports:
      - port: {{ .port }}
        protocol: TCP
    {{- with .root.Values.networkPolicy.metricsFrom }}
    from: {{- toYaml . | nindent 6 }}
    {{- end }}
egress: {{- include "vmsnapshot.toAPIServer" .root | nindent 2 }}
{{- end }}

{{- define "vmsnapshot.toAPIServer" -}}
- ports:
    {{- range .Values.networkPolicy.apiServerPorts }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end }}

{{/* Pod and container of whatever touches no disk: Pod Security's level restricted. */}}
{{- define "vmsnapshot.restrictedPod" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "vmsnapshot.restrictedContainer" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What the Job of the uninstallation needs: before it, and gone with it. */}}
{{- define "vmsnapshot.uninstallHook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: "0"
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
{{- end }}
