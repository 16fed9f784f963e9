{{- /* The beginning of all names. */ -}}
{{- define "kubeai.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* The name label is always "kubeai": by it KubeAI finds the Pods whose metrics the autoscaler adds up. */ -}}
{{- define "kubeai.selectorLabels" -}}
app.kubernetes.io/name: kubeai
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* Pods of a separate operator: neither the Service nor the autoscaler may take them for gateways. */ -}}
{{- define "kubeai.operatorLabels" -}}
app.kubernetes.io/name: kubeai-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "kubeai.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "kubeai.labels" -}}
{{ include "kubeai.selectorLabels" . }}
{{ include "kubeai.commonLabels" . }}
{{- end -}}

{{- define "kubeai.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "kubeai.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* Of a separate gateway, which may do less than the operator. */ -}}
{{- define "kubeai.gatewayAccountName" -}}
{{- .Values.serviceAccount.create | ternary (printf "%s-gateway" (include "kubeai.serviceAccountName" .)) (include "kubeai.serviceAccountName" .) -}}
{{- end -}}

{{- /* The namespaces that are watched beside the release's own, as a JSON list. */ -}}
{{- define "kubeai.furtherNamespaces" -}}
{{- without (default list .Values.watchNamespaces | uniq) .Release.Namespace | toJson -}}
{{- end -}}

{{- define "kubeai.modelServiceAccountName" -}}
{{- if .Values.modelServiceAccount.create -}}
{{- default (printf "%s-models" (include "kubeai.fullname" .)) .Values.modelServiceAccount.name -}}
{{- else -}}
{{- default "default" .Values.modelServiceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* (list CONTEXT SOURCE): the Secret with a source's credentials. */ -}}
{{- define "kubeai.secretName" -}}
{{- $context := index . 0 -}}
{{- $source := index . 1 -}}
{{- default (printf "%s-%s" (include "kubeai.fullname" $context) $source) (index $context.Values.secrets $source).name -}}
{{- end -}}

{{- define "kubeai.stateConfigMapName" -}}
{{- default (printf "%s-autoscaler-state" (include "kubeai.fullname" .)) (.Values.modelAutoscaling).stateConfigMapName -}}
{{- end -}}

{{- /* (list REPOSITORY TAG): a digest is joined by an at sign. */ -}}
{{- define "kubeai.imageOf" -}}
{{- $repository := index . 0 -}}
{{- $tag := index . 1 -}}
{{- printf "%s%s%s" $repository (hasPrefix "sha256:" $tag | ternary "@" ":") $tag -}}
{{- end -}}

{{- define "kubeai.image" -}}
{{- include "kubeai.imageOf" (list .Values.image.repository (default .Chart.AppVersion .Values.image.tag)) -}}
{{- end -}}

{{- define "kubeai.loaderImage" -}}
{{- if (.Values.modelLoading).image -}}
{{- .Values.modelLoading.image -}}
{{- else if hasPrefix "sha256:" .Values.image.tag -}}
{{- fail "modelLoading.image: is needed where image.tag is a digest, for that is the digest of another image" -}}
{{- else -}}
{{- include "kubeai.imageOf" (list (printf "%s-model-loader" .Values.image.repository) (default .Chart.AppVersion .Values.image.tag)) -}}
{{- end -}}
{{- end -}}

{{- define "kubeai.webUILabels" -}}
app.kubernetes.io/name: open-webui
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
