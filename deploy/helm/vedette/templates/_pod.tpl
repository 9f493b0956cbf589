{{- define "vedette.labels" -}}
app.kubernetes.io/name: vedette
app.kubernetes.io/part-of: vedette
{{- end }}

{{- define "vedette.meta" -}}
{{ include "vedette.labels" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* The names of the voters' pods, which are the roster. */ -}}
{{- define "vedette.roster" -}}
{{- $names := list -}}
{{- range $n := until (int .Values.voters.replicas) -}}
{{- $names = append $names (printf "\"%s-voter-%d\"" $.Release.Name $n) -}}
{{- end -}}
{ version = {{ .Values.voters.rosterVersion }}, voters = [{{ join ", " $names }}] }
{{- end }}

{{- /* Selects the pods of one kind of service of this release. */ -}}
{{- define "vedette.kind" -}}
app.kubernetes.io/component: {{ .kind }}
{{- if ne .root.Release.Name "vedette" }}
vedette/release: {{ .root.Release.Name }}
{{- end }}
{{- end }}

{{- /* A pod's template. root: the chart's context; kind; name: of the workload; values: of the kind; zone, if it stands in one;
apart: whether two on one machine are refused; env, mounts, volumes, ports: lists of more. */ -}}
{{- define "vedette.pod" -}}
metadata:
  labels:
    {{- include "vedette.labels" .root | nindent 4 }}
    {{- include "vedette.kind" . | nindent 4 }}
    app.kubernetes.io/instance: {{ .name }}
  annotations:
    # A changed configuration restarts them.
    checksum/config: {{ include (print .root.Template.BasePath "/config.yaml") .root | sha256sum }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  # It ends within a few seconds: what was decided is carried out, what was said goes out.
  terminationGracePeriodSeconds: 30
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    seccompProfile:
      type: RuntimeDefault
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with .zone }}
  nodeSelector:
    topology.kubernetes.io/zone: {{ . }}
  {{- end }}
  affinity:
    podAntiAffinity:
      {{- if .apart }}
      requiredDuringSchedulingIgnoredDuringExecution:
        - topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "vedette.kind" . | nindent 14 }}
      {{- else }}
      preferredDuringSchedulingIgnoredDuringExecution:
        - weight: 100
          podAffinityTerm:
            topologyKey: kubernetes.io/hostname
            labelSelector:
              matchLabels:
                {{- include "vedette.kind" . | nindent 16 }}
      {{- end }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: topology.kubernetes.io/zone
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "vedette.kind" . | nindent 10 }}
  containers:
    - name: {{ .kind }}
      image: "{{ .root.Values.image.repository }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}"
      {{- with .root.Values.image.pullPolicy }}
      imagePullPolicy: {{ . }}
      {{- end }}
      command: ["/usr/bin/vedette-{{ .kind }}"]
      envFrom:
        - configMapRef:
            name: {{ .root.Release.Name }}
      env:
        - name: VEDETTE_ID
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        - name: VEDETTE_HOST
          valueFrom:
            fieldRef:
              fieldPath: spec.nodeName
        {{- with .zone }}
        - name: VEDETTE_PLACE
          value: {{ . | quote }}
        {{- end }}
        - name: VEDETTE_NATS__USER
          value: {{ .kind }}
        - name: VEDETTE_NATS__PASSWORD
          valueFrom:
            secretKeyRef:
              name: {{ .root.Values.nats.secret }}
              key: {{ .kind }}
        {{- with .env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- range $name, $value := .values.env }}
        - name: {{ $name }}
          value: {{ $value | quote }}
        {{- end }}
      ports:
        {{- with .ports }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        - name: http
          containerPort: 26380
      readinessProbe:
        httpGet:
          path: /readyz
          port: http
        periodSeconds: 2
      livenessProbe:
        httpGet:
          path: /healthz
          port: http
        periodSeconds: 10
        failureThreshold: 6
      resources:
        {{- toYaml .values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: ["ALL"]
      volumeMounts:
        - name: authority
          mountPath: /etc/vedette/tls
          readOnly: true
        {{- with .mounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: authority
      secret:
        secretName: {{ .root.Values.nats.authoritySecret }}
    {{- with .volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- /* At most one of a kind is taken away at a time. */ -}}
{{- define "vedette.budget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .root.Release.Name }}-{{ .kind }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "vedette.meta" .root | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "vedette.kind" . | nindent 6 }}
{{- end }}
