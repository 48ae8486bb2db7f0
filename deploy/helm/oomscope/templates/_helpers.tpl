{{- define "oomscope.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "oomscope.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "oomscope.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "oomscope.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* Cluster-wide objects carry the namespace too: two releases of one name may live in two namespaces. */ -}}
{{- define "oomscope.clusterName" -}}
{{- $name := include "oomscope.fullname" . }}
{{- if eq $name .Release.Namespace }}{{ $name }}{{ else }}{{ printf "%s-%s" .Release.Namespace $name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- /* The name is fixed: by it `oomscope pod` finds the watcher of a pod's node. */ -}}
{{- define "oomscope.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "oomscope.labels" -}}
{{ include "oomscope.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: node-agent
{{- end }}

{{- define "oomscope.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "oomscope.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "oomscope.priorityClass" -}}
{{- if .Values.priorityClass.create }}
{{- default (include "oomscope.clusterName" .) .Values.priorityClass.name }}
{{- else }}
{{- .Values.priorityClass.name }}
{{- end }}
{{- end }}

{{- /* What is read of the node beside its kernel, each read-only: volume's name to path and reason. */ -}}
{{- define "oomscope.identity" -}}
{{- with .Values.identity.runtimeFolder }}
runtime:
  path: {{ . }}
  reason: "The container runtime's socket and bundles. Without: one source of names less while the API is away."
{{- end }}
{{- with .Values.identity.stateFolder }}
runtime-state:
  path: {{ . }}
  reason: "How containers ended. Without: exit code and reason are known only while the runtime or the API can be asked."
{{- end }}
{{- with .Values.kubernetes.kubeletConfigFile }}
kubelet-config:
  path: {{ . }}
  reason: "Reservations and eviction thresholds. Without: as /configz says, else unknown."
  type: File
{{- end }}
{{- if .Values.identity.podLogs }}
pod-logs:
  path: /var/log/pods
  reason: "Folders called NAMESPACE_POD_UID. Without: one source of names less while the API is away."
container-logs:
  path: /var/log/containers
  reason: "Links called POD_NAMESPACE_CONTAINER-ID. Without: no names of ended containers while the API is away."
{{- end }}
{{- end }}
