{{- /* system.yaml. What a value leaves empty is not in it, so that KubeAI's own default holds. */ -}}
{{- define "kubeai.system" -}}
{{- $names := dict -}}
{{- range $source := list "alibaba" "aws" "gcp" "huggingface" -}}
{{- $_ := set $names $source (include "kubeai.secretName" (list $ $source)) -}}
{{- end -}}
{{- $pods := dict "serviceAccountName" (include "kubeai.modelServiceAccountName" .) -}}
{{- range $key := list "podSecurityContext" "securityContext" "jsonPatches" -}}
{{- with index (default dict $.Values.modelServerPods) $key -}}
{{- $_ := set $pods $key . -}}
{{- end -}}
{{- end -}}
{{- with .Values.imagePullSecrets -}}
{{- $_ := set $pods "imagePullSecrets" . -}}
{{- end -}}
{{- $system := dict
    "secretNames" $names
    "modelServers" .Values.modelServers
    "modelLoading" (merge (dict "image" (include "kubeai.loaderImage" .)) (default dict .Values.modelLoading))
    "modelServerPods" $pods
    "modelRollouts" .Values.modelRollouts
    "modelAutoscaling" (merge (dict "stateConfigMapName" (include "kubeai.stateConfigMapName" .)) (default dict .Values.modelAutoscaling))
    "messaging" .Values.messaging
    "resourceProfiles" .Values.resourceProfiles
    "cacheProfiles" .Values.cacheProfiles
-}}
{{- range $key := list "modelSources" "gateway" "authentication" "usage" "leaderElection" "watchNamespaces" "allowPodAddressOverride" "fixedSelfMetricAddrs" -}}
{{- with index $.Values $key -}}
{{- $_ := set $system $key . -}}
{{- end -}}
{{- end -}}
{{- toYaml $system -}}
{{- end -}}
